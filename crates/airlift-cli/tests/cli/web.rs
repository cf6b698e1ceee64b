//! The web page of a virtual device, by `curl` and by bytes that no client sends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Field, PLACE, Run as _, airlift, eventually, image};
use crate::network::{Limit, Network};
use crate::sets;

const TOKEN: &str = "open-sesame-17";

/// A device that runs, and its page.
struct Page {
    child: Child,
    url: String,
}

impl Page {
    fn of(field: &Field, server: &str, more: &[&str]) -> Self {
        field.write(
            "web.toml",
            b"[[partition]]\nname = \"storage\"\nscheme = \"backup\"\nused = \"64K\"\n",
        );
        let mut command = airlift(["device", "run", "--json", "--interval", "1h"]);
        command
            .args([
                "--web",
                "127.0.0.1:0",
                "--node",
                "esp32-85ea2b",
                "--server",
                server,
            ])
            .args(PLACE)
            .args(more)
            .arg("--config")
            .arg(field.path("web.toml"))
            .arg("--flash")
            .arg(field.path("flash"));
        Self::of_command(command)
    }

    /// A device that runs by this command, which prints JSON.
    fn of_command(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the device runs").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "web" {
                break event["url"].as_str().unwrap().to_owned();
            }
        };
        // Somebody has to read on, or the device ends.
        std::thread::spawn(move || lines.for_each(drop));
        let page = Self { child, url };
        eventually("the device has started and asked", || {
            let status = page.status();
            status["app"].is_object() && status["busy"] == false
        });
        page
    }

    fn start(field: &Field) -> Self {
        Self::of(field, &field.server.url, &["--web-token", TOKEN])
    }

    /// `curl`: the status, and the body.
    fn curl(&self, path: &str, args: &[&str]) -> (u16, String) {
        let output = Command::new("curl")
            .args(["-s", "-m", "20", "-w", "\n%{http_code}"])
            .args(args)
            .arg(format!("{}{path}", self.url.trim_end_matches('/')))
            .output()
            .expect("curl");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, code) = text.rsplit_once('\n').unwrap();
        (code.parse().unwrap(), body.to_owned())
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.curl("/api/status", &[]).1).unwrap()
    }

    fn post(&self, body: &str) -> (u16, String) {
        let token = format!("Authorization: Bearer {TOKEN}");
        let json = "Content-Type: application/json";
        self.curl("/ota", &["-H", &token, "-H", json, "-d", body])
    }

    /// Bytes, as they are, and what comes back.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn connect(&self) -> TcpStream {
        let host = self.url.strip_prefix("http://").unwrap();
        let stream = TcpStream::connect(host.trim_end_matches('/')).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    #[track_caller]
    fn lives(&mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "the device has ended"
        );
        assert_eq!(self.curl("/api/status", &[]).0, 200);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn door(field: &Field) -> String {
    format!(
        "{}/ota_update/dev/lotus/esp32-85ea2b/sht30_d1_mini",
        field.server.url
    )
}

#[test]
fn the_page_shows_the_device_to_people_and_programs() {
    let field = Field::new();
    let page = Page::start(&field);
    let (code, html) = page.curl("/", &["-i"]);
    assert_eq!(code, 200);
    for words in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none'",
        "<title>esp32-85ea2b - Airlift</title>",
        "<dd>1.1.0</dd>",
        "<dd>field</dd>",
        "<th scope=\"row\">storage</th>",
        "560.0 KiB",
        "<option value=\"storage\">",
    ] {
        assert!(html.contains(words), "{words:?} is not in:\n{html}");
    }
    assert!(!html.contains("<script"));
    let status = page.status();
    assert_eq!(status["app"]["version"], "1.1.0");
    assert_eq!(status["app"]["slot"], "ota_1");
    assert_eq!(status["targets"], serde_json::json!(["storage"]));
    let partitions = status["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 7);
    assert_eq!(status["last_update"], Value::Null);
}

#[test]
fn an_order_updates_a_partition_and_an_app() {
    let field = Field::new();
    field.write("storage.bin", &[7; 100_000]);
    let page = Page::start(&field);
    let mut publish = field.publish("storage.bin", "5");
    publish.args(["--partition", "storage"]).run().good();
    let body = format!(r#"{{"url":"{}","partition":"storage"}}"#, door(&field));
    let (code, answer) = page.post(&body);
    assert_eq!(code, 202, "{answer}");
    eventually("the partition is updated", || {
        let status = page.status();
        status["busy"] == false && status["last_update"]["target"] == "storage"
    });
    assert_eq!(page.status()["last_update"]["result"], "updated");
    let flash = std::fs::read(field.path("flash")).unwrap();
    assert_eq!(flash[0x37_0000..][..100_000], [7; 100_000]);

    field.write("new.bin", &image("2.0.0", 200_000));
    field.publish("new.bin", "2.0.0").run().good();
    // As the page's form does.
    let form = [
        "--data-urlencode",
        &format!("url={}", door(&field)),
        "-d",
        "partition=&sha256=",
        "-d",
        &format!("token={TOKEN}"),
    ];
    let (code, html) = page.curl("/ota", &form);
    assert_eq!(code, 202, "{html}");
    assert!(html.contains("The update starts."));
    eventually("the app is updated", || {
        page.status()["app"]["version"] == "2.0.0"
    });
    let status = page.status();
    assert_eq!(status["last_update"]["result"], "updated");
    assert_eq!(status["last_update"]["target"], "app");
}

#[test]
fn a_set_of_parts_is_ordered_and_shown() {
    let field = sets::field();
    let mut command = airlift(["device", "run", "--json", "--interval", "1h", "--config"]);
    command.arg(field.path("light.toml"));
    command.args(["--web", "127.0.0.1:0", "--web-token", TOKEN]);
    let page = Page::of_command(command);
    assert_eq!(page.status()["set"], Value::Null);
    assert!(!page.curl("/", &[]).1.contains("Set of parts"));

    let new = sets::parts(2);
    field.create(2, &new, &[]);
    field.publish_set().run().good();
    let url = format!(
        "{}/ota_update/dev/lotus/esp32-1a2b3c/light",
        field.server.url
    );
    let order = format!(r#"{{"url":"{url}","partition":"matter-ota"}}"#);
    assert_eq!(page.post(&order).0, 202);
    eventually("the set is in place", || {
        page.status()["set"]["state"] == "done"
    });
    let status = page.status();
    let parts = status["set"]["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 4);
    assert!(parts.iter().all(|part| part["holds"] == "new"), "{parts:?}");
    let last = &status["last_update"];
    assert_eq!(
        (&last["target"], &last["result"]),
        (&"matter-ota".into(), &"updated".into())
    );
    let (_, html) = page.curl("/", &[]);
    for words in ["Set of parts", "external sounds.bin", "partition ssbl"] {
        assert!(html.contains(words), "{words} is not in {html}");
    }
    drop(page);
    field.has(&new);
}

#[test]
fn what_may_not_be_ordered_is_refused_and_changes_nothing() {
    let field = Field::new();
    let mut page = Page::start(&field);
    let before = std::fs::read(field.path("flash")).unwrap();
    let good = format!(r#"{{"url":"{}"}}"#, door(&field));
    let json = ["-H", "Content-Type: application/json", "-d", &good];
    // Without the token, or with a wrong one.
    assert_eq!(page.curl("/ota", &json).0, 401);
    for token in [
        "Bearer wrong-token-1",
        "Bearer ",
        "Bearer",
        "Basic b3Blbg==",
        TOKEN,
        &format!("Bearer {TOKEN}x"),
        &format!("bearer{TOKEN}"),
    ] {
        let header = format!("Authorization: {token}");
        let args = [&json[..], &["-H", &header]].concat();
        assert_eq!(page.curl("/ota", &args).0, 401, "{token}");
    }
    assert_eq!(
        page.curl("/ota", &["-d", "url=http://a/&token=wrong"]).0,
        401
    );
    assert_eq!(page.curl("/ota", &["-d", "nonsense"]).0, 401);
    // With it.
    for (body, code, words) in [
        ("{", 400, "the body is not"),
        ("{}", 400, "there is no url"),
        (r#"{"url":""}"#, 400, "there is no url"),
        (r#"{"url":"https://a/b"}"#, 400, "https is not spoken"),
        (
            r#"{"url":"file:///etc/passwd"}"#,
            400,
            "must begin with http://",
        ),
        (r#"{"url":"http:///x"}"#, 400, "no usable host"),
        (r#"{"url":"http://a/\r\nX: y"}"#, 400, "percent-encoded"),
        (
            r#"{"url":"http://a/","sha256":"12"}"#,
            400,
            "64 hexadecimal digits",
        ),
        (
            r#"{"url":"http://a/","evil":"<script>"}"#,
            400,
            "unknown field",
        ),
        (
            r#"{"url":"http://a/","partition":"nvs"}"#,
            422,
            "not one that is updated",
        ),
        (
            r#"{"url":"http://a/","partition":"<script>"}"#,
            422,
            "not one that is updated",
        ),
    ] {
        let (status, answer) = page.post(body);
        assert_eq!(status, code, "{body}: {answer}");
        assert!(answer.contains(words), "{body}: {answer}");
    }
    let long = format!(r#"{{"url":"http://a/{}"}}"#, "x".repeat(600));
    assert_eq!(page.post(&long).0, 400);
    let huge = format!(r#"{{"url":"http://a/{}"}}"#, "x".repeat(9000));
    assert_eq!(page.post(&huge).0, 413);
    let token = format!("Authorization: Bearer {TOKEN}");
    assert_eq!(
        page.curl(
            "/ota",
            &["-H", &token, "-H", "Content-Type: text/plain", "-d", &good]
        )
        .0,
        415
    );
    // Other methods and places.
    for (path, args, code) in [
        ("/", &["-X", "POST", "-d", ""][..], 405),
        ("/", &["-X", "DELETE"], 405),
        ("/api/status", &["-X", "PUT", "-d", ""], 405),
        ("/ota", &[], 405),
        ("/ota?url=http://127.0.0.1:1/", &[], 405),
        ("/ota", &["-X", "PUT", "-d", ""], 405),
        ("/nothing", &[], 404),
        ("/%3Cscript%3E", &[], 404),
        ("/<script>", &[], 400),
        ("/ota/", &[], 404),
        ("/../etc/passwd", &["--path-as-is"], 404),
    ] {
        let (status, body) = page.curl(path, args);
        assert_eq!(status, code, "{path} {args:?}");
        assert!(!body.contains("<script>"), "{path}: {body}");
    }
    assert_eq!(page.curl("/", &["-I"]).0, 200);
    assert_eq!(page.status()["last_update"], Value::Null);
    assert_eq!(before, std::fs::read(field.path("flash")).unwrap());
    page.lives();
}

#[test]
fn images_that_do_not_fit_or_cannot_be_verified_touch_nothing() {
    let field = Field::new();
    field.write("large.bin", &vec![1; 700_000]);
    let mut publish = field.publish("large.bin", "5");
    publish.args(["--partition", "storage"]).run().good();
    // The device itself asks somewhere else.
    let page = Page::of(&field, "http://127.0.0.1:1", &["--web-token", TOKEN]);
    let before = std::fs::read(field.path("flash")).unwrap();
    let ended = |result: &str| {
        eventually(result, || {
            let status = page.status();
            status["busy"] == false && status["last_update"]["result"] == result
        });
        let message = page.status()["last_update"]["message"].clone();
        message.as_str().unwrap().to_owned()
    };
    let order = |url: &str, more: &str| page.post(&format!(r#"{{"url":"{url}"{more}}}"#)).0;
    assert_eq!(order(&door(&field), r#","partition":"storage""#), 202);
    assert!(ended("refused").contains("too-big"));
    // No release there, no server there, no digest there.
    assert_eq!(order(&format!("{}/nowhere", field.server.url), ""), 202);
    assert!(ended("failed").contains("404"));
    assert_eq!(order(&format!("{}/api/v1/openapi.json", page.url), ""), 202);
    eventually("an answer", || page.status()["busy"] == false);
    let wrong = format!(r#","sha256":"{}""#, "0".repeat(64));
    assert_eq!(order(&door(&field), &wrong), 202);
    assert!(ended("refused").contains("digest"), "{}", page.status());
    let after = std::fs::read(field.path("flash")).unwrap();
    assert!(before[0x37_0000..0x3F_C000] == after[0x37_0000..0x3F_C000]);
    assert_eq!(page.status()["app"]["version"], "1.1.0");
}

#[test]
fn one_update_at_a_time_and_its_progress_is_seen() {
    let field = Field::new();
    let page = Page::start(&field);
    field.write("new.bin", &image("2.0.0", 900_000));
    field.publish("new.bin", "2.0.0").run().good();
    let network = Network::to(field.server.host(), Limit::Down(400_000));
    let url = door(&field).replace(&field.server.url, &network.url());
    let body = format!(r#"{{"url":"{url}"}}"#);
    assert_eq!(page.post(&body).0, 202);
    assert_eq!(page.post(&body).0, 409);
    eventually("some progress", || {
        page.status()["progress"]["at"].as_u64() > Some(300_000)
    });
    let status = page.status();
    assert_eq!(
        (&status["busy"], &status["progress"]["target"]),
        (&true.into(), &"app".into())
    );
    let (_, html) = page.curl("/", &[]);
    assert!(
        html.contains("<progress") && html.contains("fieldset disabled"),
        "{html}"
    );
    let form = format!("url={url}&token={TOKEN}");
    let (code, html) = page.curl("/ota", &["-d", &form]);
    assert_eq!(code, 409, "{html}");
    network.cut();
    eventually("the end", || page.status()["busy"] == false);
    assert_eq!(page.status()["last_update"]["result"], "interrupted");
    assert_eq!(
        page.post(&format!(r#"{{"url":"{}"}}"#, door(&field))).0,
        202
    );
    eventually("the new app", || page.status()["app"]["version"] == "2.0.0");
}

#[test]
fn bytes_that_no_client_sends_do_no_harm() {
    let field = Field::new();
    let mut page = Page::start(&field);
    let long = "x".repeat(20_000);
    let many: String = (0..200).map(|n| format!("h{n}: v\r\n")).collect();
    for bytes in [
        &b"\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        &[0; 5000],
        &[0xFF; 5000],
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n").as_bytes(),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n").as_bytes(),
        b"POST /ota HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST /ota HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n",
        b"POST /ota HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"POST /ota HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        b"POST /ota HTTP/1.1\r\nHost: x\r\nContent-Type: \xff\r\nContent-Length: 0\r\n\r\n",
    ] {
        let answer = page.raw(bytes);
        let status = answer.split(' ').nth(1).unwrap_or("4");
        assert!(status.starts_with('4') || status.starts_with('5'), "{answer}");
    }
    // A body that never comes, a head that never ends, and somebody who only listens: each gets some seconds.
    let mut slow: Vec<_> = (0..3).map(|_| page.connect()).collect();
    let head = b"POST /ota HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    slow[0].write_all(head).unwrap();
    slow[1].write_all(b"GET / HTTP/1.1\r\nHos").unwrap();
    page.lives();
    for stream in &mut slow {
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok(), "still open after 20 s");
    }
    page.lives();
}

#[test]
fn the_demo_s_address_is_off_unless_it_is_asked_for() {
    let field = Field::new();
    field.write("new.bin", &image("2.0.0", 100_000));
    let more = ["--web-token", TOKEN, "--web-compat-get"];
    let page = Page::of(&field, &field.server.url, &more);
    field.publish("new.bin", "2.0.0").run().good();
    for (query, words) in [
        ("", "there is no url"),
        ("?url=", "there is no url"),
        ("?url=https://a/", "https is not spoken"),
        ("?other=%3Cscript%3E", "not known"),
        ("?url=http://a/%3Cscript%3E%00", "percent-encoded"),
    ] {
        let (code, body) = page.curl(&format!("/ota{query}"), &[]);
        assert_eq!(code, 400, "{query}");
        assert!(
            body.contains(words) && !body.contains("<script>"),
            "{query}: {body}"
        );
    }
    let (code, body) = page.curl(&format!("/ota?url={}", door(&field)), &[]);
    assert_eq!((code, body.as_str()), (202, "updating..."));
    eventually("the new app", || page.status()["app"]["version"] == "2.0.0");
}

#[test]
fn settings_of_the_page_are_checked() {
    let field = Field::new();
    let run = |more: &[&str]| {
        let mut command = field.device();
        command.args(more).run()
    };
    run(&["--web", "127.0.0.1:0"]).refused(&["--web", "--once"]);
    field.write("web.toml", b"web = \"somewhere\"\n");
    let config = field.path("web.toml");
    run(&["--config", config.to_str().unwrap()]).refused(&["web.toml", "web", "127.0.0.1:8088"]);
    run(&["--web", "127.0.0.1:0", "--web-token", "short"]).refused(&["8 to 128"]);
    assert_eq!(run(&["--web", "nowhere"]).status.code(), Some(2));
}
