//! A virtual device against a server that is told what to answer: what goes over the wire, and what is in the flash
//! afterwards.

mod bench;
mod partitions;
mod sets;
mod two_step;

use airlift_formats::esp::app_image::ChipId;
use airlift_sim::client::{DeviceError, Event, Faults, PowerCut, Settled};
use airlift_sim::flash::{Cut, CutKind};

use bench::{Bench, Image, Peer, image, no_news, offer, rest, status};

fn v2() -> Image {
    image(ChipId::ESP32, "demo", "2.0.0", 100_000)
}

#[test]
fn an_update_goes_through_its_steps_in_order() {
    let new = v2();
    let peer = Peer::start(offer(&new));
    let mut bench = Bench::new(&peer);
    let (settled, events) = bench.check();
    assert_eq!(
        settled.unwrap(),
        Settled::Updated {
            from: "1.0.0".into(),
            to: "2.0.0".into()
        }
    );
    let steps: Vec<_> = events.iter().map(bench::name).collect();
    assert_eq!(
        steps,
        [
            "booted",
            "notify",
            "offered",
            "verifying",
            "verified",
            "installed",
            "restarting",
            "booted",
            "confirmed",
            "reported"
        ]
    );
    assert_eq!(
        bench.device.counters().bytes_fetched,
        new.bytes.len() as u64
    );

    let requests = peer.requests();
    let [ask, report] = &requests[..] else {
        panic!("{requests:#?}")
    };
    assert!(ask.starts_with("GET /ota_update/dev/lotus/esp32-85ea2b/key HTTP/1.0\r\n"));
    assert!(
        ask.contains("x-ESP32-STA-MAC: 24:0A:C4:85:EA:2B\r\n"),
        "{ask}"
    );
    assert!(ask.contains("x-ESP32-version: 1.0.0\r\n"), "{ask}");
    assert!(ask.contains(&format!("x-ESP32-sketch-md5: {}\r\n", bench.factory.md5())));
    assert!(!ask.contains("x-Airlift-Update"), "{ask}");
    assert!(report.starts_with("HEAD "), "{report}");
    let told = format!(
        "x-Airlift-Update: state=confirmed; sha256={}; version=2.0.0\r\n",
        new.sha256()
    );
    assert!(report.contains(&told), "{report}");
    assert!(report.contains(&format!("x-ESP32-sketch-md5: {}\r\n", new.md5())));
}

#[test]
fn nothing_new_changes_nothing() {
    let peer = Peer::start(no_news());
    let mut bench = Bench::new(&peer);
    let before = bench.flash_content();
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    // The boot loader notes at the very first boot which slot it started; nothing else.
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    let after = bench.flash_content();
    assert_eq!(before[0x1_0000..], after[0x1_0000..]);
}

#[test]
fn a_broken_connection_costs_no_byte_that_is_safe() {
    let new = v2();
    let half = new.bytes.len() / 2;
    let peer = Peer::start({
        let new = new.clone();
        move |request: &str| match Peer::offset(request) {
            None if request.starts_with("GET") => {
                let mut answer = offer(&new)(request);
                answer.truncate(answer.len() - half);
                answer
            }
            _ => rest(&new)(request),
        }
    });
    let mut bench = Bench::new(&peer);
    let (settled, events) = bench.check();
    assert_eq!(settled.unwrap(), Settled::Interrupted);
    let Some(Event::Interrupted { durable, .. }) = events.last() else {
        panic!("{events:?}")
    };
    // Durable is what was written in whole sectors.
    let arrived = new.bytes.len() - half;
    assert_eq!(*durable as usize, arrived / 4096 * 4096);

    let (settled, _) = bench.check();
    assert!(matches!(settled, Ok(Settled::Updated { .. })));
    let fetched = bench.device.counters().bytes_fetched as usize;
    assert_eq!(fetched, arrived + new.bytes.len() - *durable as usize);
    let requests = peer.requests();
    assert!(requests[1].contains(&format!("Range: bytes={durable}-\r\n")));
    assert!(requests[1].contains(&format!("If-Range: \"{}\"\r\n", new.sha256())));
    assert!(requests[1].contains("x-Airlift-Update: state=interrupted; "));
}

#[test]
fn a_server_that_cannot_resume_sends_all_of_it_and_the_image_is_whole() {
    let new = v2();
    let peer = Peer::start({
        let new = new.clone();
        let mut first = true;
        move |request: &str| {
            let mut answer = offer(&new)(request);
            if std::mem::take(&mut first) {
                answer.truncate(60_000);
            }
            answer
        }
    });
    let mut bench = Bench::new(&peer);
    assert_eq!(bench.check().0.unwrap(), Settled::Interrupted);
    assert!(matches!(bench.check().0, Ok(Settled::Updated { .. })));
    assert_eq!(bench.version(), "2.0.0");
}

#[test]
fn halves_of_two_images_are_never_joined() {
    let (first, second) = (v2(), image(ChipId::ESP32, "demo", "3.0.0", 100_000));
    assert_eq!(first.bytes.len(), second.bytes.len());
    // Answers a request for the rest with the rest of another image: as a cache in between could.
    let peer = Peer::start({
        let second = second.clone();
        let mut asked = 0;
        move |request: &str| {
            asked += 1;
            match (asked, Peer::offset(request)) {
                (1, _) => {
                    let mut answer = offer(&first)(request);
                    answer.truncate(60_000);
                    answer
                }
                (_, Some(_)) => rest(&second)(request),
                (_, None) => offer(&second)(request),
            }
        }
    });
    let mut bench = Bench::new(&peer);
    assert_eq!(bench.check().0.unwrap(), Settled::Interrupted);
    assert!(matches!(bench.check().0, Ok(Settled::Updated { .. })));
    assert_eq!(bench.version(), "3.0.0");
    let requests = peer.requests();
    assert!(Peer::offset(&requests[1]).is_some());
    assert_eq!(Peer::offset(&requests[2]), None, "asks again for all of it");
}

#[test]
fn a_power_cut_anywhere_in_the_download_is_resumed() {
    let new = v2();
    for cut in [
        PowerCut::AtByte(0),
        PowerCut::AtByte(4095),
        PowerCut::AtByte(50_000),
        PowerCut::AtByte(new.bytes.len() as u32 - 1),
        PowerCut::AtOperation(Cut::at_call(0, CutKind::TornErase { seed: 2 })),
        PowerCut::AtOperation(Cut::at_call(31, CutKind::TornProgram { seed: 1 })),
        PowerCut::AtOperation(Cut::at_call(32, CutKind::TornErase { seed: 2 })),
        PowerCut::AtOperation(Cut::at_word(9_000, CutKind::TornProgram { seed: 2 })),
    ] {
        let peer = Peer::start(rest(&new));
        let mut bench = Bench::new(&peer);
        bench.device.set_faults(Faults {
            power_cut: Some(cut),
            ..Faults::default()
        });
        let (settled, events) = bench.check();
        assert_eq!(settled.unwrap(), Settled::PowerLost, "{cut:?}");
        assert_eq!(bench::name(events.last().unwrap()), "power-cut");
        let (settled, events) = bench.check();
        assert!(
            matches!(settled, Ok(Settled::Updated { .. })),
            "{cut:?}: {events:?}"
        );
        assert_eq!(bench.version(), "2.0.0", "{cut:?}");
        let counters = bench.device.counters();
        assert_eq!(counters.power_cuts, 1);
        // One sector and what was on its way can be lost, no more.
        let most = new.bytes.len() as u64 + 3 * 4096;
        assert!(counters.bytes_fetched <= most, "{cut:?}: {counters:?}");
    }
}

#[test]
fn a_flipped_bit_is_refused_told_and_forgotten() {
    let new = v2();
    let peer = Peer::start(offer(&new));
    let mut bench = Bench::new(&peer);
    bench.device.set_faults(Faults {
        flip_byte: Some(77_777),
        ..Faults::default()
    });
    let (settled, _) = bench.check();
    assert_eq!(settled.unwrap(), Settled::Refused { reason: "digest" });
    assert_eq!(bench.version(), "1.0.0");
    let report = &peer.requests()[1];
    let told = format!(
        "x-Airlift-Update: state=refused; sha256={}; version=2.0.0; reason=digest\r\n",
        new.sha256()
    );
    assert!(
        report.starts_with("HEAD ") && report.contains(&told),
        "{report}"
    );

    assert!(matches!(bench.check().0, Ok(Settled::Updated { .. })));
    assert!(!peer.requests()[2].contains("x-Airlift-Update"));
}

#[test]
fn images_that_are_not_for_this_device_are_refused_each_with_its_reason() {
    let good = v2();
    let mut truncated = good.clone();
    truncated.bytes.truncate(50_000);
    let mut damaged = good.clone();
    damaged.bytes[40_000] ^= 0x10;
    let mut text = good.clone();
    text.bytes = b"<html>not an image</html>".repeat(20);
    for (what, bad, reason) in [
        (
            "other chip",
            image(ChipId::ESP32C3, "demo", "2.0.0", 9_000),
            "image-chip",
        ),
        (
            "other project",
            image(ChipId::ESP32, "other", "2.0.0", 9_000),
            "project",
        ),
        (
            "too big",
            image(ChipId::ESP32, "demo", "2.0.0", 0x6_0001),
            "too-big",
        ),
        ("truncated", truncated, "image-beyond-file"),
        ("damaged", damaged, "image-checksum"),
        ("no image", text, "image-magic"),
    ] {
        let peer = Peer::start(offer(&bad));
        let mut bench = Bench::new(&peer);
        let (settled, events) = bench.check();
        assert_eq!(
            settled.unwrap(),
            Settled::Refused { reason },
            "{what}: {events:?}"
        );
        assert_eq!(bench.version(), "1.0.0", "{what}");
        let told = format!(
            "state=refused; sha256={}; version=2.0.0; reason={reason}",
            bad.sha256()
        );
        assert!(
            peer.requests()[1].contains(&told),
            "{what}: {:?}",
            peer.requests()[1]
        );
    }
}

#[test]
fn an_app_that_finds_itself_bad_goes_and_the_server_hears_of_it() {
    let new = v2();
    let peer = Peer::start(offer(&new));
    let mut bench = Bench::new(&peer);
    bench.device.set_faults(Faults {
        self_test_fails: true,
        ..Faults::default()
    });
    let (settled, events) = bench.check();
    let version = "1.0.0".to_owned();
    assert_eq!(
        settled.unwrap(),
        Settled::RolledBack { version },
        "{events:?}"
    );
    assert_eq!(bench.version(), "1.0.0");
    let told = format!(
        "state=rolled-back; sha256={}; version=2.0.0; reason=self-test\r\n",
        new.sha256()
    );
    let report = &peer.requests()[1];
    assert!(report.contains(&told), "{report}");
    assert!(report.contains("x-ESP32-version: 1.0.0\r\n"));
}

#[test]
fn answers_that_are_no_use_change_nothing_and_pass() {
    let new = v2();
    let length = new.bytes.len();
    let digest = format!("x-SHA256: {}\r\n", new.sha256());
    for (what, head) in [
        (
            "redirect",
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n".to_owned(),
        ),
        ("not found", "HTTP/1.1 404 Not Found\r\n".to_owned()),
        ("no length", format!("HTTP/1.1 200 OK\r\n{digest}")),
        (
            "chunked",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{digest}"),
        ),
        (
            "empty",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{digest}"),
        ),
        (
            "no digest",
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n"),
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n".to_owned(),
        ),
        ("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n".to_owned()),
        ("nothing", String::new()),
    ] {
        let body = new.bytes.clone();
        let peer = Peer::start(move |_: &str| {
            if head.is_empty() {
                return Vec::new();
            }
            [head.as_bytes(), b"\r\n", &body].concat()
        });
        let mut bench = Bench::new(&peer);
        let before = bench.flash_content();
        let (result, _) = bench.check();
        let error = result.expect_err(what);
        assert!(error.is_passing(), "{what}: {error}");
        assert_eq!(
            before[0x1_0000..],
            bench.flash_content()[0x1_0000..],
            "{what}"
        );
        assert_eq!(bench.version(), "1.0.0", "{what}");
    }
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let peer = Peer::start(status("503 Service Unavailable\r\nRetry-After: 90"));
    let mut bench = Bench::new(&peer);
    assert_eq!(
        bench.check().0.unwrap(),
        Settled::Later {
            retry_after: Some(90)
        }
    );
}

#[test]
fn a_report_waits_for_a_server_that_takes_it() {
    let new = v2();
    let peer = Peer::start({
        let new = new.clone();
        let mut heads = 0;
        move |request: &str| {
            if request.starts_with("HEAD") {
                heads += 1;
                return status("500 Internal Server Error")(request);
            }
            if heads == 0 {
                offer(&new)(request)
            } else {
                no_news()(request)
            }
        }
    });
    let mut bench = Bench::new(&peer);
    assert!(matches!(bench.check().0, Ok(Settled::Updated { .. })));
    let (_, events) = bench.check();
    assert!(
        events.contains(&Event::Reported { state: "confirmed" }),
        "{events:?}"
    );
    let requests = peer.requests();
    assert!(requests[1].contains("state=confirmed"));
    assert!(requests[2].contains("state=confirmed"), "told again");
    bench.check().0.unwrap();
    assert!(
        !peer.requests()[3].contains("x-Airlift-Update"),
        "and then no more"
    );
}

#[test]
fn a_flash_file_is_one_device() {
    let peer = Peer::start(no_news());
    let bench = Bench::new(&peer);
    let again = bench.open_again();
    assert!(matches!(again, Err(DeviceError::File(_))));
}
