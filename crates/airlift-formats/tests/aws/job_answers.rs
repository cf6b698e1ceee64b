//! What the service answers and tells: a line for each message that the C library was given, and the others.

use airlift_formats::aws::{
    Fault, Text,
    job_document::{AfrOta, Protocol},
    jobs::{Answer, ErrorCode, JobsChanged, Pending, Status},
};

use crate::golden;

#[derive(Debug, PartialEq)]
enum Verdict {
    /// There is nothing to do.
    NoJob,
    /// A job, and how many files its document has.
    Job(&'static str, usize),
    /// A job whose document another parser has to know.
    Foreign(&'static str),
    /// A refusal, and not the answer that there is no job.
    Refusal,
    /// The message is refused: the field, and the word for what is wrong with it.
    Not(&'static str, &'static str),
}

use Verdict::{Foreign, Job, NoJob, Not, Refusal};

#[rustfmt::skip]
const TABLE: &[(&str, Verdict)] = &[
    ("ok_start_next_accepted.json", Job("AFR_OTA-4f3c2e", 1)),
    ("ok_self_test.json",         Job("AFR_OTA-4f3c2e", 1)),
    ("ok_notify_next.json",       Job("AFR_OTA-4f3c2e", 1)),
    ("ok_notify_next_empty.json", NoJob),
    ("ok_custom_doc.json",        Foreign("AFR_OTA-4f3c2e")),
    ("bad_doc_string.json",       Not("jobDocument", "wrong-type")),
    ("bad_doc_absent.json",       Not("jobDocument", "missing")),
    ("bad_rejected.json",         Refusal),
    ("bad_empty.json",            Not("", "truncated")),
    // As many levels as the C library reads.
    ("q_nested.json",             Job("AFR_OTA-4f3c2e", 1)),
    // The C library hands all of these on, and its own topic builder refuses them then.
    ("q_jobid65.json",            Not("jobId", "wrong-length")),
    ("q_jobid_empty.json",        Not("jobId", "wrong-length")),
    ("q_dup.json",                Not("execution", "duplicate")),
    ("q_jobid_num.json",          Not("jobId", "wrong-type")),
];

fn judge(message: &[u8]) -> Result<Option<(String, Option<usize>)>, Verdict> {
    let not = |error: airlift_formats::aws::MessageError| Not(error.field, error.fault.token());
    let answer = Answer::parse(message).map_err(not)?;
    if answer.code.is_some() {
        return Err(Refusal);
    }
    let Some(execution) = answer.execution else {
        return Ok(None);
    };
    let document = execution.document().map_err(not)?;
    let update = AfrOta::parse(&document, Protocol::Mqtt).map_err(not)?;
    Ok(Some((
        execution.job_id.to_owned(),
        update.map(|update| update.files.count()),
    )))
}

#[test]
fn every_message_gets_the_verdict_of_the_table() {
    let names: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
    golden::assert_complete("job_messages", &names);
    for (name, verdict) in TABLE {
        let message = golden::read(&format!("job_messages/{name}"));
        let said = judge(&message);
        let matches = match (verdict, &said) {
            (NoJob, Ok(None)) => true,
            (Job(id, files), Ok(Some((found, Some(count))))) => id == found && files == count,
            (Foreign(id), Ok(Some((found, None)))) => id == found,
            (_, Err(error)) => error == verdict,
            _ => false,
        };
        assert!(matches, "{name}: {said:?}");
        assert!(!name.starts_with("bad_") || said.is_err(), "{name}");
    }
}

#[test]
fn what_aws_was_seen_to_send_is_understood() {
    let message = golden::read("aws_observed/next_get_accepted.json");
    let next = Answer::parse(&message).unwrap();
    assert_eq!(next.token, Some(Text::from(":840d8ee419b8")));
    assert_eq!(next.timestamp, Some(1_685_747_465));
    let execution = next.execution.unwrap();
    assert_eq!(execution.job_id, "AFR_OTA-OTA_TEST-230602-1828");
    assert_eq!(
        (
            execution.state.status,
            execution.state.version,
            execution.number
        ),
        (Status::Queued, 1, Some(1))
    );
    let update = AfrOta::parse(&execution.document().unwrap(), Protocol::Mqtt)
        .unwrap()
        .unwrap();
    assert_eq!(
        update.stream,
        Some("AFR_OTA-93e1bb19-0dcd-4aeb-9946-5df0260dc063")
    );
    assert_eq!(update.files.clone().next().unwrap().size, 127_762);
}

#[test]
fn details_of_a_job_are_found() {
    let message = golden::read("job_messages/ok_self_test.json");
    let execution = Answer::parse(&message).unwrap().execution.unwrap();
    assert_eq!(execution.state.detail("self_test"), Some("ready".into()));
    assert_eq!(execution.state.detail("updatedBy"), Some("0x10000".into()));
    assert_eq!(execution.state.detail("reason"), None);
    let number = br#"{"execution":{"jobId":"a","status":"QUEUED","versionNumber":1,"statusDetails":{"a":1}}}"#;
    let execution = Answer::parse(number).unwrap().execution.unwrap();
    assert_eq!(execution.state.detail("a"), None, "it is no text");
}

#[test]
fn an_empty_execution_is_no_job() {
    for message in [
        "{}",
        r#"{"execution":{}}"#,
        r#"{"execution":null,"timestamp":1}"#,
    ] {
        assert_eq!(
            Answer::parse(message.as_bytes()).unwrap().execution,
            None,
            "{message}"
        );
    }
    for (message, field, fault) in [
        (r#"{"execution":[]}"#, "execution", Fault::Type),
        (r#"{"execution":{"jobId":"a"}}"#, "status", Fault::Missing),
        (
            r#"{"execution":{"jobId":"a","status":"DONE","versionNumber":1}}"#,
            "status",
            Fault::Content,
        ),
        (
            r#"{"execution":{"jobId":"a","status":"QUEUED"}}"#,
            "versionNumber",
            Fault::Missing,
        ),
        (
            r#"{"execution":{"jobId":"a","status":"QUEUED","versionNumber":-1}}"#,
            "versionNumber",
            Fault::Range,
        ),
        (
            r#"{"execution":{"jobId":"a/b","status":"QUEUED","versionNumber":1}}"#,
            "jobId",
            Fault::Content,
        ),
        (
            r#"{"execution":{"jobId":"\u0061","status":"QUEUED","versionNumber":1}}"#,
            "jobId",
            Fault::Content,
        ),
        (
            r#"{"execution":{"jobId":"a","status":"QUEUED","versionNumber":1,"statusDetails":[]}}"#,
            "statusDetails",
            Fault::Type,
        ),
    ] {
        let error = Answer::parse(message.as_bytes()).unwrap_err();
        assert_eq!((error.field, error.fault), (field, fault), "{message}");
    }
}

#[test]
fn refusals_say_how_the_job_stands() {
    let message = br#"{"code":"VersionMismatch","message":"expected 2, is 4","clientToken":"t","timestamp":7,
        "executionState":{"status":"IN_PROGRESS","statusDetails":{"receive":"1/9"},"versionNumber":4}}"#;
    let rejected = Answer::parse(message).unwrap();
    assert_eq!(rejected.known_code(), Some(ErrorCode::VersionMismatch));
    assert_eq!(rejected.message, Some("expected 2, is 4".into()));
    let state = rejected.state.unwrap();
    assert_eq!((state.status, state.version), (Status::InProgress, 4));
    assert_eq!(rejected.token, Some("t".into()));

    let other = Answer::parse(br#"{"code":"Teapot"}"#).unwrap();
    assert_eq!(
        (other.known_code(), other.code),
        (None, Some("Teapot".into()))
    );
    for code in ErrorCode::ALL {
        let message = format!(r#"{{"code":"{}"}}"#, code.name());
        assert_eq!(
            Answer::parse(message.as_bytes()).unwrap().known_code(),
            Some(code)
        );
    }
}

#[test]
fn an_update_may_be_answered_with_the_state() {
    let updated = Answer::parse(br#"{"clientToken":"t","timestamp":7}"#).unwrap();
    assert_eq!((updated.state, updated.timestamp), (None, Some(7)));
    let message = br#"{"executionState":{"status":"SUCCEEDED","versionNumber":3}}"#;
    let state = Answer::parse(message).unwrap().state.unwrap();
    assert_eq!((state.status, state.version), (Status::Succeeded, 3));
    assert!(state.status.is_terminal());
}

#[test]
fn lists_of_jobs_are_read() {
    let message = br#"{"timestamp":9,"jobs":{"QUEUED":[{"jobId":"b","queuedAt":1,"lastUpdatedAt":2,"executionNumber":1,
        "versionNumber":1}],"IN_PROGRESS":[{"jobId":"a","startedAt":3}]}}"#;
    let changed = JobsChanged::parse(message).unwrap();
    let ids = |summaries: airlift_formats::aws::jobs::Summaries<'_>| -> Vec<String> {
        summaries.map(|summary| summary.job_id.to_owned()).collect()
    };
    assert_eq!(changed.queued.clone().next().unwrap().queued_at, Some(1));
    assert_eq!(
        (ids(changed.in_progress), ids(changed.queued)),
        (vec!["a".into()], vec!["b".into()])
    );
    let empty = JobsChanged::parse(br#"{"timestamp":9,"jobs":{}}"#).unwrap();
    assert_eq!((empty.in_progress.count(), empty.queued.count()), (0, 0));

    let pending = Pending::parse(
        br#"{"inProgressJobs":[],"queuedJobs":[{"jobId":"a"},{"jobId":"b"}],"clientToken":"t"}"#,
    )
    .unwrap();
    assert_eq!(ids(pending.queued), ["a", "b"]);
    let error = Pending::parse(br#"{"queuedJobs":[{"jobId":"a"},{}]}"#).unwrap_err();
    assert_eq!((error.field, error.fault), ("jobId", Fault::Missing));
}
