use proptest::prelude::*;

use super::*;

fn update(json: &str) -> Result<UpdateRequest, Refusal> {
    Request::read(json.as_bytes())?.update()
}

fn token(json: &str) -> Result<Option<String>, Refusal> {
    let mut request = Request::read(json.as_bytes())?;
    request.read_token()?;
    Ok(request.client_token)
}

#[test]
fn an_update_is_read_as_clients_write_it() {
    let request = update(
        r#"{"status":"IN_PROGRESS","expectedVersion":"2","statusDetails":{"self_test":"ready","updatedBy":"0x10000"},
        "executionNumber":3,"includeJobExecutionState":true,"includeJobDocument":true,"stepTimeoutInMinutes":-1,"unknown":[1]}"#,
    )
    .unwrap();
    let update_ = request.update;
    assert_eq!(update_.status, Status::InProgress);
    assert_eq!(
        (update_.expected_version, update_.number),
        (Some(2), Some(3))
    );
    assert_eq!(update_.step_timer, Some(StepTimer::Off));
    assert_eq!(
        update_.details.unwrap().json().get(),
        r#"{"self_test":"ready","updatedBy":"0x10000"}"#
    );
    assert!(request.include_state && request.include_document);

    let least =
        update(r#"{"status":"FAILED","statusDetails":null,"expectedVersion":null}"#).unwrap();
    assert!(least.update.details.is_none() && least.update.expected_version.is_none());
    assert!(!least.include_state && !least.include_document);
    let number = update(r#"{"status":"FAILED","expectedVersion":2}"#).unwrap();
    assert_eq!(number.update.expected_version, Some(2));
}

#[test]
fn what_is_no_json_and_what_is_no_request_are_told_apart() {
    for (payload, code) in [
        (&b"{"[..], Code::InvalidJson),
        (b"{\"a\":1}x", Code::InvalidJson),
        (b"\xFF", Code::InvalidJson),
        (b"{\"a\":\"\xFF\"}", Code::InvalidJson),
        (b"{\"clientToken\":\"a\"b\"}", Code::InvalidJson),
        (b"[]", Code::InvalidRequest),
        (b"1", Code::InvalidRequest),
        (b"null", Code::InvalidRequest),
    ] {
        assert_eq!(
            Request::read(payload).unwrap_err().code,
            code,
            "{payload:?}"
        );
    }
    assert!(Request::read(b"").is_ok() && Request::read(b" {} ").is_ok());
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_REQUEST - 8));
    assert_eq!(long.len(), MAX_REQUEST);
    assert!(Request::read(long.as_bytes()).is_ok());
    let longer = format!("{long} ");
    assert_eq!(
        Request::read(longer.as_bytes()).unwrap_err().code,
        Code::InvalidRequest
    );
    let deep = format!("{{\"a\":{}", "[".repeat(MAX_REQUEST - 100));
    assert!(Request::read(deep.as_bytes()).is_err());
}

#[test]
fn fields_out_of_bounds_are_refused() {
    for json in [
        r#"{}"#,
        r#"{"status":null}"#,
        r#"{"status":1}"#,
        r#"{"status":"succeeded"}"#,
        r#"{"status":"FAILED","expectedVersion":"junk"}"#,
        r#"{"status":"FAILED","expectedVersion":""}"#,
        r#"{"status":"FAILED","expectedVersion":"+2"}"#,
        r#"{"status":"FAILED","expectedVersion":"-2"}"#,
        r#"{"status":"FAILED","expectedVersion":-2}"#,
        r#"{"status":"FAILED","expectedVersion":2.0}"#,
        r#"{"status":"FAILED","expectedVersion":99999999999999999999}"#,
        r#"{"status":"FAILED","expectedVersion":"99999999999999999999"}"#,
        r#"{"status":"FAILED","executionNumber":[]}"#,
        r#"{"status":"FAILED","includeJobDocument":"true"}"#,
        r#"{"status":"FAILED","stepTimeoutInMinutes":0}"#,
        r#"{"status":"FAILED","stepTimeoutInMinutes":-2}"#,
        r#"{"status":"FAILED","stepTimeoutInMinutes":10081}"#,
        r#"{"status":"FAILED","stepTimeoutInMinutes":"5"}"#,
        r#"{"status":"FAILED","statusDetails":[1,2]}"#,
        r#"{"status":"FAILED","statusDetails":"x"}"#,
        r#"{"status":"FAILED","statusDetails":{"a":1}}"#,
        r#"{"status":"FAILED","statusDetails":{"a":{"b":"c"}}}"#,
        r#"{"status":"FAILED","statusDetails":{"a":""}}"#,
        r#"{"status":"FAILED","statusDetails":{"":"a"}}"#,
        r#"{"status":"FAILED","statusDetails":{"a b":"a"}}"#,
        r#"{"status":"FAILED","statusDetails":{"a":"line\nfeed"}}"#,
    ] {
        assert_eq!(
            update(json).unwrap_err().code,
            Code::InvalidRequest,
            "{json}"
        );
    }
    for minutes in [1, 10_080] {
        let json = format!(r#"{{"status":"FAILED","stepTimeoutInMinutes":{minutes}}}"#);
        let timer = update(&json).unwrap().update.step_timer;
        assert_eq!(timer, Some(StepTimer::Minutes(minutes)));
    }
}

#[test]
fn details_may_be_so_many_and_so_long() {
    let read = |pairs: Vec<(String, String)>| {
        let object: serde_json::Map<_, _> = pairs
            .into_iter()
            .map(|(name, text)| (name, text.into()))
            .collect();
        Details::read(&serde_json::Value::Object(object).to_string())
    };
    let many = |count: usize| {
        (0..count)
            .map(|at| (format!("n{at}"), "x".to_owned()))
            .collect()
    };
    assert!(read(many(0)).is_ok() && read(many(10)).is_ok());
    assert!(read(many(11)).is_err());
    let sized = |name: usize, text: usize| vec![("n".repeat(name), "é".repeat(text))];
    assert!(read(sized(128, 1024)).is_ok());
    assert!(read(sized(129, 1)).is_err());
    assert!(read(sized(1, 1025)).is_err());
    // The last of two of the same name counts, and blanks go.
    let twice = Details::read("{ \"a\" : \"1\" , \"b\":\"2\",\"a\":\"3\"}").unwrap();
    assert_eq!(twice.json().get(), r#"{"b":"2","a":"3"}"#);
    assert_eq!(twice.get("a").as_deref(), Some("3"));
    assert_eq!(twice.get("c"), None);
}

#[test]
fn a_token_has_at_most_64_bytes() {
    let with = |token_: &str| token(&serde_json::json!({ "clientToken": token_ }).to_string());
    for good in ["test", "1:a thing", &"x".repeat(64), "\"\\"] {
        assert_eq!(with(good).unwrap().as_deref(), Some(good));
    }
    for bad in ["", &"x".repeat(65), &"é".repeat(33)] {
        assert_eq!(with(bad).unwrap_err().code, Code::InvalidRequest);
    }
    assert_eq!(
        token(r#"{"clientToken":7}"#).unwrap_err().code,
        Code::InvalidRequest
    );
    assert_eq!(token(r#"{"clientToken":null}"#).unwrap(), None);
}

proptest! {
    /// Nothing makes a reader panic, and details that are read are written so that they are read the same.
    #[test]
    fn whatever_comes_is_read_or_refused(payload in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}",
        pairs in prop::collection::btree_map("[A-Za-z0-9:_-]{1,8}", "\\PC{1,20}", 0..10)) {
        for payload in [&payload[..], text.as_bytes()] {
            if let Ok(mut request) = Request::read(payload) {
                let _ = (request.read_token(), request.start_next().is_ok(), request.describe().is_ok(), request.update().is_ok());
            }
        }
        let _ = Details::read(&text);
        let json = serde_json::to_string(&pairs).unwrap();
        let details = Details::read(&json).unwrap();
        let again: BTreeMap<String, String> = serde_json::from_str(details.json().get()).unwrap();
        prop_assert_eq!(again, pairs);
    }
}
