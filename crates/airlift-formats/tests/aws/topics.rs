//! Topics: as the C library builds and matches them, and what is none.

use airlift_formats::aws::{
    Buffer, Format,
    topic::{Job, Leg, MAX_TOPIC_LEN, StreamMessage, Topic, TopicError},
};
use proptest::prelude::*;

use crate::golden;

fn emitted(topic: Topic<'_>, thing: &str) -> Result<String, TopicError> {
    let mut text = Vec::new();
    topic.emit(thing, &mut text)?;
    Ok(String::from_utf8(text).unwrap())
}

/// What a call of the C library was given, as a topic of ours: the name after `topic`, the thing, what follows.
fn built<'a>(name: &str, rest: &'a str) -> Topic<'a> {
    let job = match rest {
        "$next" => Job::Next,
        id => Job::Id(id),
    };
    match (name, rest) {
        ("GetPending", _) => Topic::GetPending(Leg::Request),
        ("StartNext", _) => Topic::StartNext(Leg::Request),
        ("Describe", _) => Topic::Describe(job, Leg::Request),
        ("Update", _) => Topic::Update(job, Leg::Request),
        ("GetTopic", "JobsJobsChanged") => Topic::Notify,
        ("GetTopic", "JobsGetPendingSuccess") => Topic::GetPending(Leg::Accepted),
        ("GetTopic", "JobsGetPendingFailed") => Topic::GetPending(Leg::Rejected),
        ("GetTopic", "JobsStartNextFailed") => Topic::StartNext(Leg::Rejected),
        ("GetTopic", "JobsDescribeFailed") => Topic::Describe(Job::Any, Leg::Rejected),
        other => panic!("{other:?}"),
    }
}

/// The C library's name for what it takes out of a topic; the others are not for devices.
fn matched(topic: Topic<'_>) -> Option<(&'static str, Option<&str>)> {
    let id = |job| match job {
        Job::Next => "$next",
        Job::Any => "+",
        Job::Id(id) => id,
    };
    Some(match topic {
        Topic::Notify => ("JobsJobsChanged", None),
        Topic::NotifyNext => ("JobsNextJobChanged", None),
        Topic::GetPending(Leg::Accepted) => ("JobsGetPendingSuccess", None),
        Topic::GetPending(Leg::Rejected) => ("JobsGetPendingFailed", None),
        Topic::StartNext(Leg::Accepted) => ("JobsStartNextSuccess", None),
        Topic::StartNext(Leg::Rejected) => ("JobsStartNextFailed", None),
        Topic::Describe(job, Leg::Accepted) => ("JobsDescribeSuccess", Some(id(job))),
        Topic::Describe(job, Leg::Rejected) => ("JobsDescribeFailed", Some(id(job))),
        Topic::Update(job, Leg::Accepted) => ("JobsUpdateSuccess", Some(id(job))),
        Topic::Update(job, Leg::Rejected) => ("JobsUpdateFailed", Some(id(job))),
        _ => return None,
    })
}

#[test]
fn topics_are_built_and_matched_as_by_the_c_library() {
    let mut calls = [0; 5];
    for vector in golden::index("topics") {
        let call = vector["cmd"].as_str().unwrap();
        let words: Vec<&str> = call.split(' ').collect();
        let result = &vector["result"];
        match words[..] {
            ["topic", name, thing, ref rest @ ..] => {
                calls[0] += 1;
                let argument = rest.first().copied().unwrap_or_default();
                let topic = built(name, argument);
                // The last word is the length of a buffer, with room for a NUL that we do not write.
                let room = rest.get(1).map_or(300, |len| len.parse::<usize>().unwrap());
                let mut buffer = vec![0; room.saturating_sub(1)];
                let mut sink = Buffer::new(&mut buffer);
                let said = match topic.emit(thing, &mut sink) {
                    Err(_) => "JobsBadParameter",
                    Ok(()) => match sink.finish() {
                        Ok(text) => {
                            assert_eq!(result["topic"], *str::from_utf8(text).unwrap(), "{call}");
                            "JobsSuccess"
                        }
                        // The C library has another word for no buffer at all.
                        Err(_) if room == 0 => "JobsBadParameter",
                        Err(_) => "JobsBufferTooSmall",
                    },
                };
                assert_eq!(result["status"], said, "{call}");
            }
            ["match", topic, thing] => {
                calls[1] += 1;
                let parsed = Topic::parse(topic)
                    .ok()
                    .filter(|(found, _)| *found == thing);
                let (api, id) = parsed
                    .and_then(|(_, topic)| matched(topic))
                    .unwrap_or(("JobsInvalidTopic", None));
                assert_eq!(result["api"], api, "{call}");
                assert_eq!(result["jobId"].as_str(), id, "{call}");
            }
            ["isstart", topic, thing] => {
                calls[2] += 1;
                let expected = Ok((thing, Topic::StartNext(Leg::Accepted)));
                assert_eq!(result["result"], Topic::parse(topic) == expected, "{call}");
            }
            ["isupdate", topic, thing, job] => {
                calls[3] += 1;
                for (name, leg) in [("accepted", Leg::Accepted), ("rejected", Leg::Rejected)] {
                    let expected = Ok((thing, Topic::Update(Job::Id(job), leg)));
                    assert_eq!(result[name], Topic::parse(topic) == expected, "{call}");
                }
            }
            // The streams library checks nothing, and overwrites its stack with a name of more than 44 characters.
            ["streamtopics", format, name, thing] => {
                calls[4] += 1;
                assert_eq!(format, "cbor");
                for (key, message) in [("data", StreamMessage::Data), ("get", StreamMessage::Get)] {
                    let topic = Topic::Stream {
                        name,
                        message,
                        format: Format::Cbor,
                    };
                    match emitted(topic, thing) {
                        Err(error) => assert_eq!(error, TopicError::ThingName, "{call}"),
                        Ok(text) if result["status"] == "Success" => assert_eq!(result[key], text),
                        Ok(text) => assert!(text.contains(name) && name.len() == 128, "{call}"),
                    }
                }
            }
            ref other => panic!("{other:?}"),
        }
    }
    assert!(calls.iter().all(|count| *count > 0), "{calls:?}");
}

#[test]
fn what_is_no_topic_is_told_why() {
    for (topic, error) in [
        ("", TopicError::Prefix),
        ("$aws/thing/a/jobs/get", TopicError::Prefix),
        ("$AWS/things/a/jobs/get", TopicError::Prefix),
        ("$aws/things/", TopicError::ThingName),
        ("$aws/things//jobs/get", TopicError::ThingName),
        ("$aws/things/a b/jobs/get", TopicError::ThingName),
        ("$aws/things/+/jobs/get", TopicError::ThingName),
        ("$aws/things/a", TopicError::Unknown),
        ("$aws/things/a/shadow/get", TopicError::Unknown),
        ("$aws/things/a/jobs", TopicError::JobId),
        ("$aws/things/a/jobs/", TopicError::JobId),
        ("$aws/things/a/jobs/get/", TopicError::Unknown),
        ("$aws/things/a/jobs/get/accepted/", TopicError::Unknown),
        ("$aws/things/a/jobs/get/accepted/x", TopicError::Unknown),
        ("$aws/things/a/jobs/get//accepted", TopicError::Unknown),
        ("$aws/things/a/jobs/notify/accepted", TopicError::Unknown),
        ("$aws/things/a/jobs/a:b/get", TopicError::JobId),
        ("$aws/things/a/jobs/+/get", TopicError::JobId),
        ("$aws/things/a/jobs/$next/update", TopicError::JobId),
        ("$aws/things/a/jobs/x/describe", TopicError::Unknown),
        ("$aws/things/a/streams/s:s/get/json", TopicError::StreamName),
        ("$aws/things/a/streams/s/get", TopicError::Unknown),
        ("$aws/things/a/streams/s/get/xml", TopicError::Unknown),
        ("$aws/things/a/streams/s/get/json/", TopicError::Unknown),
        ("$aws/things/a/streams/s/put/json", TopicError::Unknown),
    ] {
        assert_eq!(Topic::parse(topic), Err(error), "{topic}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn a_job_may_be_called_like_a_request() {
    for (topic, expected) in [
        ("get/get", Topic::Describe(Job::Id("get"), Leg::Request)),
        (
            "get/update/accepted",
            Topic::Update(Job::Id("get"), Leg::Accepted),
        ),
        (
            "notify/get/rejected",
            Topic::Describe(Job::Id("notify"), Leg::Rejected),
        ),
        (
            "start-next/update",
            Topic::Update(Job::Id("start-next"), Leg::Request),
        ),
        ("get/accepted", Topic::GetPending(Leg::Accepted)),
        ("notify-next", Topic::NotifyNext),
    ] {
        let topic = format!("$aws/things/a/jobs/{topic}");
        assert_eq!(Topic::parse(&topic), Ok(("a", expected)), "{topic}");
    }
}

fn names() -> impl Strategy<Value = (String, String)> {
    ("[A-Za-z0-9:_-]{1,128}", "[A-Za-z0-9_-]{1,64}")
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same((thing, name) in names(), which in 0..17_usize, leg in 0..3_usize) {
        let leg = [Leg::Request, Leg::Accepted, Leg::Rejected][leg];
        let stream = |message, format| Topic::Stream { name: &name, message, format };
        let topic = match which {
            0 => Topic::GetPending(leg),
            1 => Topic::StartNext(leg),
            2 => Topic::Describe(Job::Next, leg),
            3 => Topic::Describe(Job::Id(&name), leg),
            4 => Topic::Update(Job::Id(&name), leg),
            5 => Topic::Notify,
            6 => Topic::NotifyNext,
            7 => stream(StreamMessage::Get, Format::Json),
            8 => stream(StreamMessage::Get, Format::Cbor),
            9 => stream(StreamMessage::Describe, Format::Json),
            10 => stream(StreamMessage::Describe, Format::Cbor),
            11 => stream(StreamMessage::Data, Format::Json),
            12 => stream(StreamMessage::Data, Format::Cbor),
            13 => stream(StreamMessage::Description, Format::Json),
            14 => stream(StreamMessage::Description, Format::Cbor),
            15 => stream(StreamMessage::Rejected, Format::Json),
            _ => stream(StreamMessage::Rejected, Format::Cbor),
        };
        let text = emitted(topic, &thing).unwrap();
        prop_assert!(text.len() <= MAX_TOPIC_LEN);
        prop_assert_eq!(Topic::parse(&text), Ok((&*thing, topic)));
    }

    #[test]
    fn what_is_read_is_written_as_the_same(topic in "(\\$aws/things/[ab:+/]{0,3}/)?(jobs|streams)?(/|get|update|notify|accepted|json|data|\\$next|x|\\+){0,8}") {
        if let Ok((thing, parsed)) = Topic::parse(&topic) {
            prop_assert_eq!(emitted(parsed, thing), Ok(topic.clone()));
        }
    }
}

#[test]
fn the_longest_topic_is_as_long_as_is_said() {
    let (thing, name) = ("t".repeat(128), "s".repeat(128));
    let topic = Topic::Stream {
        name: &name,
        message: StreamMessage::Description,
        format: Format::Json,
    };
    assert_eq!(emitted(topic, &thing).unwrap().len(), MAX_TOPIC_LEN);
}
