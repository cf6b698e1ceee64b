//! Conversations about jobs, in simulated time.

use airlift_formats::aws::job_document::Protocol;

use super::*;
use crate::mqtt::BUFFER_LEN;

const RETRY: Retry = Retry {
    first: 100,
    longest: 400,
    limit: 4,
};

/// A conversation, and what was last published.
struct Talk {
    jobs: Jobs<'static>,
    now: u32,
    buffer: [u8; BUFFER_LEN],
}

impl Talk {
    fn new(settings: Settings) -> Self {
        let settings = Settings {
            retry: RETRY,
            ..settings
        };
        Self {
            jobs: Jobs::new("dev-1", settings).unwrap(),
            now: 0,
            buffer: [0; BUFFER_LEN],
        }
    }

    /// With a job that has version 2.
    fn at_work() -> Self {
        let mut talk = Self::new(Settings::default());
        talk.jobs.ask();
        talk.says();
        assert!(matches!(
            talk.hears("start-next/accepted", JOB),
            Event::Job(_)
        ));
        talk
    }

    /// What is published now: the end of the topic, and the message.
    fn says(&mut self) -> Option<(String, String)> {
        let publish = self.jobs.poll(self.now, &mut self.buffer).unwrap()?;
        let topic = publish
            .topic
            .strip_prefix("$aws/things/dev-1/jobs/")
            .unwrap();
        let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
        Some((topic.to_owned(), payload))
    }

    fn hears<'m>(&mut self, topic: &str, message: &'m str) -> Event<'m> {
        let topic = format!("$aws/things/dev-1/jobs/{topic}");
        let (_, topic) = Topic::parse(&topic).unwrap();
        self.jobs.receive(&topic, message.as_bytes(), self.now)
    }

    fn tells(&mut self, report: Report) -> (String, String) {
        self.jobs.report(report);
        self.says().expect("a report is sent")
    }
}

const JOB: &str = r#"{"clientToken":"1","timestamp":7,"execution":{"jobId":"job-1","status":"IN_PROGRESS","versionNumber":2,
    "executionNumber":1,"jobDocument":{"operation":"reboot"}}}"#;

fn token(message: &str) -> String {
    let message: serde_json::Value = serde_json::from_str(message).unwrap();
    message["clientToken"].as_str().unwrap().to_owned()
}

fn accepted(token: &str) -> String {
    format!(r#"{{"clientToken":"{token}","timestamp":8}}"#)
}

fn refused(token: &str, code: &str, state: Option<(&str, u32)>) -> String {
    let state = state.map_or(String::new(), |(status, version)| {
        format!(r#","executionState":{{"status":"{status}","versionNumber":{version}}}"#)
    });
    format!(r#"{{"code":"{code}","message":"x","clientToken":"{token}","timestamp":8{state}}}"#)
}

const SOME: Report = Report::Receiving {
    got: 1,
    total: 4,
    resumed: 0,
};
const V1: Version = Version {
    major: 1,
    minor: 2,
    build: 3,
};

#[test]
fn the_next_job_is_asked_for_in_either_way() {
    let mut talk = Talk::new(Settings {
        step_timeout: Some(30),
        ..Settings::default()
    });
    assert_eq!(talk.says(), None);
    talk.jobs.ask();
    let expected = r#"{"stepTimeoutInMinutes":30,"clientToken":"1"}"#;
    assert_eq!(talk.says(), Some(("start-next".into(), expected.into())));
    assert_eq!(talk.says(), None, "the answer is awaited");
    let Event::Job(execution) = talk.hears("start-next/accepted", JOB) else {
        panic!("it is a job");
    };
    assert_eq!((execution.job_id, execution.state.version), ("job-1", 2));
    assert_eq!(talk.jobs.job(), Some("job-1"));
    assert_eq!(talk.jobs.due(), None);

    let mut talk = Talk::new(Settings {
        ask: Ask::Describe,
        ..Settings::default()
    });
    talk.jobs.ask();
    let expected = r#"{"clientToken":"1"}"#;
    assert_eq!(talk.says(), Some(("$next/get".into(), expected.into())));
    assert!(matches!(
        talk.hears("$next/get/accepted", JOB),
        Event::Job(_)
    ));
}

#[test]
fn no_job_is_told_from_a_message_that_is_wrong() {
    let mut talk = Talk::new(Settings::default());
    talk.jobs.ask();
    talk.says();
    assert!(matches!(
        talk.hears("start-next/accepted", "{"),
        Event::Malformed(_)
    ));
    // Another's answer, an answer to an older question, and one that nobody has asked for.
    assert_eq!(talk.hears("get/accepted", "{}"), Event::Nothing);
    assert_eq!(
        talk.hears("start-next/accepted", r#"{"clientToken":"0"}"#),
        Event::Nothing
    );
    assert_eq!(talk.hears("job-1/get/accepted", JOB), Event::Nothing);
    assert_eq!(
        talk.hears("start-next/accepted", r#"{"timestamp":7}"#),
        Event::NoJob
    );
    assert_eq!(
        talk.hears("start-next/accepted", r#"{"timestamp":7}"#),
        Event::Nothing
    );
}

#[test]
fn questions_are_repeated_with_longer_waits_and_then_given_up() {
    let mut talk = Talk::new(Settings::default());
    talk.jobs.ask();
    let first = talk.says().unwrap();
    for wait in [100, 200, 400] {
        assert_eq!(talk.jobs.due(), Some(talk.now + wait));
        talk.now += wait - 1;
        assert_eq!(talk.says(), None);
        talk.now += 1;
        assert_eq!(talk.says().as_ref(), Some(&first), "the same again");
    }
    talk.now += 400;
    assert_eq!(
        talk.jobs.poll(talk.now, &mut talk.buffer),
        Err(JobsError::Unanswered)
    );
    // It is still wanted: over another connection, perhaps.
    assert_eq!(talk.says().unwrap().0, "start-next");
}

#[test]
fn what_may_pass_is_asked_again_and_what_will_not_is_told() {
    for code in ["InternalError", "RequestThrottled", "Teapot"] {
        let mut talk = Talk::new(Settings::default());
        talk.jobs.ask();
        talk.says();
        assert_eq!(
            talk.hears("start-next/rejected", &refused("1", code, None)),
            Event::Nothing
        );
        talk.now += 100;
        assert!(talk.says().is_some());
    }
    let mut talk = Talk::new(Settings::default());
    talk.jobs.ask();
    talk.says();
    let message = refused("1", "InvalidRequest", None);
    let expected = Event::Refused(ErrorCode::InvalidRequest);
    assert_eq!(talk.hears("start-next/rejected", &message), expected);
    assert_eq!(talk.says(), None);
}

#[test]
fn reports_look_like_those_of_the_older_agent() {
    for (report, status, details) in [
        (SOME, "IN_PROGRESS", Some(r#"{"receive":"1/4"}"#)),
        (
            Report::Receiving {
                got: 64,
                total: 100,
                resumed: 8192,
            },
            "IN_PROGRESS",
            Some(r#"{"receive":"64/100","resumed":"8192"}"#),
        ),
        (
            Report::Ready { version: V1 },
            "IN_PROGRESS",
            Some(r#"{"self_test":"ready","updatedBy":"0x01020003"}"#),
        ),
        (
            Report::Active { version: V1 },
            "IN_PROGRESS",
            Some(r#"{"self_test":"active","updatedBy":"0x01020003"}"#),
        ),
        (
            Report::Accepted {
                version: V1,
                before: Version {
                    major: 1,
                    minor: 2,
                    build: 2,
                },
            },
            "SUCCEEDED",
            Some(r#"{"reason":"accepted  v1.2.3","updatedBy":"  v1.2.2"}"#),
        ),
        (Report::Done, "SUCCEEDED", None),
        (
            Report::Rejected {
                code: 6,
                cause: "digest",
            },
            "FAILED",
            Some(r#"{"reason":"rejected: 0x00000006","cause":"digest"}"#),
        ),
        (
            Report::Aborted {
                code: 25,
                cause: "ResourceNotFound",
            },
            "FAILED",
            Some(r#"{"reason":"aborted: 0x00000019","cause":"ResourceNotFound"}"#),
        ),
        (
            Report::Declined {
                cause: "missing",
                field: "filesize",
            },
            "REJECTED",
            Some(r#"{"reason":"missing","field":"filesize"}"#),
        ),
        (
            Report::Declined {
                cause: "unknown-document",
                field: "",
            },
            "REJECTED",
            Some(r#"{"reason":"unknown-document"}"#),
        ),
    ] {
        let mut talk = Talk::at_work();
        let details = details.map_or(String::new(), |details| {
            format!(r#","statusDetails":{details}"#)
        });
        let expected =
            format!(r#"{{"status":"{status}","expectedVersion":"2"{details},"clientToken":"2"}}"#);
        assert_eq!(talk.tells(report), ("job-1/update".into(), expected));
        assert_eq!(report.is_last(), status != "IN_PROGRESS");
        assert_eq!(
            talk.hears("job-1/update/accepted", &accepted("2")),
            Event::Told(report)
        );
        assert_eq!(talk.jobs.job().is_none(), report.is_last());
    }
}

#[test]
fn each_report_names_the_version_that_the_one_before_made() {
    let mut talk = Talk::at_work();
    for version in 2..6 {
        let (_, message) = talk.tells(SOME);
        assert!(
            message.contains(&format!(r#""expectedVersion":"{version}""#)),
            "{message}"
        );
        let answer = accepted(&token(&message));
        assert_eq!(
            talk.hears("job-1/update/accepted", &answer),
            Event::Told(SOME)
        );
    }
}

#[test]
fn a_step_timeout_is_renewed_with_each_report_but_the_last() {
    let mut talk = Talk::at_work();
    talk.jobs.settings.step_timeout = Some(5);
    assert!(talk.tells(SOME).1.contains(r#""stepTimeoutInMinutes":5"#));
    talk.hears("job-1/update/accepted", &accepted("2"));
    assert!(!talk.tells(Report::Done).1.contains("stepTimeout"));
}

#[test]
fn another_version_is_taken_from_the_refusal_and_the_report_sent_again() {
    let mut talk = Talk::at_work();
    talk.tells(Report::Ready { version: V1 });
    let message = refused("2", "VersionMismatch", Some(("IN_PROGRESS", 7)));
    assert_eq!(
        talk.hears("job-1/update/rejected", &message),
        Event::Nothing
    );
    let (_, again) = talk.says().expect("at once");
    assert!(again.contains(r#""expectedVersion":"7""#), "{again}");
    // A service that has another version each time is not asked for ever.
    for version in 8.. {
        let message = refused("2", "VersionMismatch", Some(("IN_PROGRESS", version)));
        talk.hears("job-1/update/rejected", &message);
        match talk.jobs.poll(talk.now, &mut talk.buffer) {
            Ok(publish) => assert!(publish.is_some() && version < 12),
            Err(error) => {
                assert_eq!(error, JobsError::Unanswered);
                break;
            }
        }
    }
}

#[test]
fn a_last_report_whose_answer_was_lost_counts_as_told() {
    let mut talk = Talk::at_work();
    talk.tells(Report::Done);
    talk.now += 100;
    talk.says().expect("sent again");
    let message = refused("2", "InvalidStateTransition", Some(("SUCCEEDED", 3)));
    assert_eq!(
        talk.hears("job-1/update/rejected", &message),
        Event::Told(Report::Done)
    );
    assert_eq!(talk.jobs.job(), None);
}

#[test]
fn a_job_that_is_over_is_over() {
    for (code, state, expected) in [
        (
            "InvalidStateTransition",
            Some(("CANCELED", 4)),
            Some(Status::Canceled),
        ),
        (
            "VersionMismatch",
            Some(("TIMED_OUT", 4)),
            Some(Status::TimedOut),
        ),
        ("ResourceNotFound", None, None),
        (
            "TerminalStateReached",
            Some(("REMOVED", 4)),
            Some(Status::Removed),
        ),
    ] {
        let mut talk = Talk::at_work();
        talk.tells(SOME);
        let message = refused("2", code, state);
        assert_eq!(
            talk.hears("job-1/update/rejected", &message),
            Event::Over(expected),
            "{code}"
        );
        assert_eq!(talk.jobs.job(), None);
        assert_eq!(talk.says(), None);
    }
}

#[test]
fn a_report_that_the_service_does_not_understand_is_not_repeated() {
    let mut talk = Talk::at_work();
    talk.tells(SOME);
    let message = refused("2", "InvalidRequest", None);
    assert_eq!(
        talk.hears("job-1/update/rejected", &message),
        Event::NotTaken(SOME)
    );
    assert_eq!(talk.says(), None);
    assert_eq!(talk.jobs.job(), Some("job-1"));
}

#[test]
fn progress_is_given_up_silently_and_everything_else_is_not() {
    let mut talk = Talk::at_work();
    talk.tells(SOME);
    for _ in 0..3 {
        talk.now += 400;
        assert!(talk.says().is_some());
    }
    talk.now += 400;
    assert_eq!(talk.says(), None);
    assert!(!talk.jobs.is_busy());

    let mut talk = Talk::at_work();
    talk.tells(Report::Done);
    for _ in 0..3 {
        talk.now += 400;
        assert!(talk.says().is_some());
    }
    talk.now += 400;
    assert_eq!(
        talk.jobs.poll(talk.now, &mut talk.buffer),
        Err(JobsError::Unanswered)
    );
    assert!(talk.jobs.is_busy(), "it is not forgotten");
}

#[test]
fn what_matters_more_takes_the_place_of_progress() {
    let mut talk = Talk::at_work();
    talk.tells(SOME);
    // No second progress while the first is awaited.
    talk.jobs.report(Report::Receiving {
        got: 2,
        total: 4,
        resumed: 0,
    });
    assert_eq!(talk.says(), None);
    talk.jobs.report(Report::Done);
    assert_eq!(talk.says(), None, "not before the answer, or its time");
    // The answer is to the one before.
    assert_eq!(
        talk.hears("job-1/update/accepted", &accepted("2")),
        Event::Nothing
    );
    let (_, message) = talk.says().unwrap();
    assert!(
        message.contains("SUCCEEDED") && message.contains(r#""expectedVersion":"3""#),
        "{message}"
    );
    // Nothing takes the place of what ends the job.
    talk.jobs.report(SOME);
    talk.now += 100;
    assert!(talk.says().unwrap().1.contains("SUCCEEDED"));
    assert_eq!(
        talk.hears("job-1/update/accepted", &accepted("3")),
        Event::Told(Report::Done)
    );
}

#[test]
fn a_late_answer_to_an_older_report_is_not_taken_for_one_to_the_last() {
    let mut talk = Talk::at_work();
    talk.tells(SOME);
    talk.hears("job-1/update/accepted", &accepted("2"));
    talk.tells(Report::Done);
    assert_eq!(
        talk.hears("job-1/update/accepted", &accepted("2")),
        Event::Nothing
    );
    assert_eq!(talk.jobs.job(), Some("job-1"));
}

#[test]
fn a_notice_of_another_job_makes_the_device_look_whether_its_own_is_still_there() {
    let other = JOB.replace("job-1", "job-2");
    for (notice, looks) in [(JOB, false), (&other, true), (r#"{"timestamp":7}"#, true)] {
        let mut talk = Talk::at_work();
        assert_eq!(talk.hears("notify-next", notice), Event::Nothing);
        let said = talk.says();
        assert_eq!(said.is_some(), looks, "{notice}");
        let Some((topic, message)) = said else {
            continue;
        };
        assert_eq!(topic, "job-1/get");
        assert_eq!(message, r#"{"includeJobDocument":false,"clientToken":"2"}"#);
        // It is: with another version than thought.
        let there = JOB
            .replace("\"1\"", "\"2\"")
            .replace("\"versionNumber\":2", "\"versionNumber\":5");
        assert_eq!(talk.hears("job-1/get/accepted", &there), Event::Nothing);
        assert!(talk.tells(SOME).1.contains(r#""expectedVersion":"5""#));
    }
    for (topic, message, expected) in [
        (
            "job-1/get/accepted",
            JOB.replace("\"1\"", "\"2\"")
                .replace("IN_PROGRESS", "CANCELED"),
            Some(Status::Canceled),
        ),
        ("job-1/get/accepted", accepted("2"), None),
        (
            "job-1/get/rejected",
            refused("2", "ResourceNotFound", None),
            None,
        ),
        (
            "job-1/get/rejected",
            refused("2", "TerminalStateReached", None),
            None,
        ),
    ] {
        let mut talk = Talk::at_work();
        talk.hears("notify-next", &other);
        talk.says();
        assert_eq!(
            talk.hears(topic, &message),
            Event::Over(expected),
            "{message}"
        );
    }
}

#[test]
fn a_notice_wakes_a_device_that_has_no_job() {
    let mut talk = Talk::new(Settings::default());
    assert_eq!(talk.hears("notify-next", JOB), Event::Changed);
    assert_eq!(
        talk.hears("notify-next", r#"{"timestamp":7}"#),
        Event::Nothing
    );
    assert!(matches!(
        talk.hears("notify-next", "x"),
        Event::Malformed(_)
    ));
    talk.jobs.ask();
    assert_eq!(
        talk.hears("notify-next", JOB),
        Event::Nothing,
        "it asks already"
    );
}

#[test]
fn the_first_parser_that_knows_a_document_decides() {
    struct Never;
    impl JobParser for Never {
        fn parse<'d>(&mut self, _: &str, _: &airlift_formats::aws::Value<'d>) -> Parsed<'d> {
            Parsed::Unknown
        }
    }
    struct Always(u32);
    impl JobParser for Always {
        fn parse<'d>(&mut self, _: &str, _: &airlift_formats::aws::Value<'d>) -> Parsed<'d> {
            Parsed::Failed {
                code: self.0,
                cause: "x",
            }
        }
    }
    let ota = r#"{"afr_ota":{"protocols":["MQTT"],"streamname":"s","files":[{"filepath":"f","filesize":1,"fileid":0,"certfile":"c",
        "sig-sha256-ecdsa":"s"}]}}"#;
    let broken = ota.replace("\"filesize\":1", "\"filesize\":0");
    let parse =
        |document: &str, chain: &mut dyn FnMut(&airlift_formats::aws::Value<'_>) -> String| {
            let format = airlift_formats::aws::Format::Json;
            let document = airlift_formats::aws::Value::parse(format, document.as_bytes()).unwrap();
            chain(&document)
        };
    let name = |parsed: Parsed<'_>| match parsed {
        Parsed::Unknown => "unknown".to_owned(),
        Parsed::Update(update) => format!("{} files", update.files.count()),
        Parsed::Done => "done".to_owned(),
        Parsed::Failed { code, .. } => format!("failed {code}"),
        Parsed::Declined { cause, field } => format!("{field} {cause}"),
    };
    let ours = AfrOtaParser(Protocol::Mqtt);
    for (document, expected) in [
        (ota, ["1 files", "1 files", "failed 1"]),
        (
            &broken,
            ["filesize out-of-range", "filesize out-of-range", "failed 1"],
        ),
        (
            r#"{"operation":"reboot"}"#,
            ["unknown", "failed 2", "failed 1"],
        ),
    ] {
        let said = [
            parse(document, &mut |document| {
                name((Never, ours).parse("j", document))
            }),
            parse(document, &mut |document| {
                name((Never, ours, Always(2)).parse("j", document))
            }),
            parse(document, &mut |document| {
                name((Always(1), ours, Always(2)).parse("j", document))
            }),
        ];
        assert_eq!(said, expected, "{document}");
    }
}

#[test]
fn a_version_survives_the_way_through_the_details() {
    for (text, expected) in [
        ("0x01020003", Some(V1)),
        (
            "0x10000",
            Some(Version {
                major: 0,
                minor: 1,
                build: 0,
            }),
        ),
        (
            "0xFFFFFFFF",
            Some(Version {
                major: 255,
                minor: 255,
                build: 65_535,
            }),
        ),
        ("0x", None),
        ("0x123456789", None),
        ("01020003", None),
        ("0x0g", None),
    ] {
        assert_eq!(Version::from_detail(text.into()), expected, "{text}");
    }
    assert_eq!(Version::from_number(V1.to_number()), V1);
}

#[test]
fn names_and_buffers_that_do_not_do_are_told() {
    assert_eq!(
        Jobs::new("a/b", Settings::default()).unwrap_err(),
        JobsError::ThingName
    );
    let mut jobs = Jobs::new("dev-1", Settings::default()).unwrap();
    jobs.ask();
    assert_eq!(jobs.poll(0, &mut [0; 40]), Err(JobsError::BufferTooSmall));
}
