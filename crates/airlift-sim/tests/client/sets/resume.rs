//! What is there already is not fetched: of a download that was cut, and of parts that have not changed.

use super::*;

/// Bytes that come again, or though nobody wants them: what was read before the first jump, and what is shorter than a jump or was not marked yet.
const AGAIN: u64 = 3 * 4096;

/// Four parts that are large enough to be worth it.
struct Large {
    number: u8,
    app: Vec<u8>,
    ssbl: Vec<u8>,
    keys: Vec<u8>,
    sounds: Vec<u8>,
}

fn large(number: u8) -> Large {
    let World { keys, .. } = world(number);
    Large {
        number,
        app: image(ChipId::ESP32, "demo", &format!("{number}.0.0"), 100_000).bytes,
        ssbl: bytes(number, 2, 15_000),
        keys,
        sounds: bytes(number, 100, 50_000),
    }
}

impl Large {
    fn payload(&self) -> PayloadBuilder {
        let descriptor = descriptor(self.number);
        let mut payload = PayloadBuilder::default();
        payload.custom(100, &[], &self.sounds).unwrap();
        let keys = FactoryData::parse(&self.keys).unwrap();
        payload.factory_data(&keys).unwrap();
        payload.bootloader(&descriptor, &self.ssbl).unwrap();
        payload.application(&descriptor, &self.app).unwrap();
        payload
    }

    fn image(&self) -> Image {
        packed(self.number, VENDOR, PRODUCT, &self.payload().build())
    }

    fn image_with_manifest(&self) -> Image {
        let payload = self.payload().build_with_manifest(&[]).unwrap();
        packed(self.number, VENDOR, PRODUCT, &payload)
    }

    fn is_in(&self, bench: &mut Bench) -> bool {
        let flash = bench.device.flash().clone();
        let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
        let sounds = running.external(100);
        let slot = if running.slot() == "ota_0" {
            0x1_0000
        } else {
            0x3_0000
        };
        let flash = flash.lock();
        let holds = |at: usize, content: &[u8]| flash.cells()[at..].starts_with(content);
        holds(slot, &self.app)
            && holds(SSBL as usize, &self.ssbl)
            && holds(KEYS as usize, &self.keys)
            && sounds.as_ref() == Some(&self.sounds)
    }
}

fn declare(bench: &mut Bench) {
    let mut plan = plan(bench);
    plan.parts.truncate(3);
    plan.parts.push(SetPartPlan {
        tag: 100,
        to: PartPlan::External {
            file: bench.file("sounds.bin"),
            size: 0x1_0000,
            descriptor: 0,
        },
    });
    bench.device.declare_set(&plan).unwrap();
}

fn four_parts(peer: &Peer) -> Bench {
    let mut bench = Bench::with_table(peer, &table());
    declare(&mut bench);
    bench
}

fn cut_at(byte: u32) -> Faults {
    Faults {
        power_cut: Some(PowerCut::AtByte(byte)),
        ..Faults::default()
    }
}

fn fetched(bench: &Bench) -> u64 {
    bench.device.counters().bytes_fetched
}

#[test]
fn a_download_that_a_power_cut_stopped_goes_on_where_it_was() {
    let new = large(2);
    for image in [new.image(), new.image_with_manifest()] {
        let length = image.bytes.len() as u32;
        for byte in [100, 20_000, 51_000, 60_000, 120_000, length - 2] {
            let peer = Peer::start(Door::open(&door(&image)));
            let mut bench = four_parts(&peer);
            bench.device.set_faults(cut_at(byte));
            assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
            // The next process knows nothing but what is in the flash.
            bench.reopen();
            declare(&mut bench);
            let (_, events) = bench.check_until_powered();
            assert!(new.is_in(&mut bench), "cut at {byte}");
            let rest = u64::from(length - byte);
            let came = fetched(&bench);
            assert!(came <= rest + AGAIN, "cut at {byte}: {came} of {rest}");
            let passed: u64 = events
                .iter()
                .map(|event| match event {
                    Event::SetPassedOver { bytes } => u64::from(*bytes),
                    _ => 0,
                })
                .sum();
            assert_eq!(came + passed, u64::from(length), "cut at {byte}");
            let told = told(&peer);
            assert!(told[0].starts_with("state=interrupted"), "{told:?}");
            assert!(told[1].starts_with("state=confirmed"), "{told:?}");
            assert_eq!(told.len(), 2);
        }
    }
}

#[test]
fn a_download_that_is_cut_again_and_again_comes_to_its_end() {
    let new = large(2);
    let image = new.image();
    let length = image.bytes.len() as u64;
    let peer = Peer::start(Door::open(&door(&image)));
    let mut bench = four_parts(&peer);
    let mut cuts = 0;
    for byte in (20_000..length as u32).step_by(20_000) {
        bench.device.set_faults(cut_at(byte));
        assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
        cuts += 1;
    }
    bench.check_until_powered();
    assert!(new.is_in(&mut bench));
    let came = fetched(&bench);
    assert!(came <= length + (cuts + 1) * AGAIN, "{came} of {length}");
}

#[test]
fn parts_that_have_not_changed_are_not_fetched() {
    let door = door(&large(2).image_with_manifest());
    let peer = Peer::start(Door::open(&door));
    let mut bench = four_parts(&peer);
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    let next = Large {
        ssbl: large(3).ssbl,
        ..large(2)
    };
    let payload = next.payload().build_with_manifest(&[]).unwrap();
    let image = packed(3, VENDOR, PRODUCT, &payload);
    let length = image.bytes.len() as u64;
    door.lock().unwrap().data[0].1 = image.clone();
    let before = fetched(&bench);
    let (settled, events) = bench.check();
    let names = vec![SET_PLACE.to_owned()];
    assert_eq!(
        settled.unwrap(),
        Settled::PartitionsUpdated { names },
        "the app runs on: {events:?}"
    );
    assert!(next.is_in(&mut bench));
    let came = fetched(&bench) - before;
    let changed = next.ssbl.len() as u64;
    assert!(came >= changed && came <= changed + AGAIN, "{came}");
    let parts: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::SetPartStaged { tag, was_there, .. } => Some((*tag, *was_there)),
            _ => None,
        })
        .collect();
    assert_eq!(parts, [(100, true), (3, true), (2, false), (1, true)]);
    let passed = Event::SetPassedOver {
        bytes: (length - came) as u32,
    };
    assert!(events.contains(&passed), "{events:?}");
    let report = report(&mut bench).unwrap();
    assert_eq!((report.state, report.software_version), ("done", Some(3)));
    assert!(report.parts.iter().all(|part| part.holds == "new"));
    assert_eq!(report.parts[0].place, "external sounds.bin");
    let last = told(&peer).pop().unwrap();
    let confirmed = format!("state=confirmed; sha256={}; version=3.0", image.sha256());
    assert_eq!(last, confirmed);
}

#[test]
fn an_image_from_a_file_goes_on_as_well() {
    let peer = Peer::start(no_news());
    let mut bench = four_parts(&peer);
    let new = large(2);
    let image = new.image();
    bench.device.set_faults(cut_at(120_000));
    let put = |bench: &mut Bench, events: &mut Vec<Event>| {
        let mut running = bench.device.power_on(&mut |_| {}).unwrap().unwrap();
        let put = running.put_set(&image.bytes, &mut |event| events.push(event.clone()));
        put.unwrap()
    };
    let mut events = Vec::new();
    assert_eq!(put(&mut bench, &mut events), Put::PowerLost);
    events.clear();
    assert_eq!(put(&mut bench, &mut events), Put::Restart);
    let passed = events.iter().find_map(|event| match event {
        Event::SetPassedOver { bytes } => Some(*bytes),
        _ => None,
    });
    assert!(passed.is_some_and(|bytes| bytes > 100_000), "{passed:?}");
    assert!(new.is_in(&mut bench));
}

#[test]
fn a_server_that_gives_no_parts_of_an_image_gives_all_of_it_and_is_asked_once_more() {
    let new = large(2);
    let image = new.image();
    let mut answers = Door::open(&door(&image));
    let peer = Peer::start(move |request| {
        let plain: Vec<_> = request
            .split("\r\n")
            .filter(|line| !line.contains("Range: "))
            .collect();
        answers(&plain.join("\r\n"))
    });
    let mut bench = four_parts(&peer);
    bench.device.set_faults(cut_at(120_000));
    assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
    let before = peer.requests().len();
    bench.check_until_powered();
    assert!(new.is_in(&mut bench));
    let asked = peer.requests().split_off(before);
    let gets = asked.iter().filter(|request| request.starts_with("GET"));
    assert!(gets.count() <= 3, "{asked:?}");
}

#[test]
fn a_connection_that_breaks_within_the_header_is_made_again_whatever_the_server_can() {
    let new = large(2);
    let image = new.image();
    for gives_parts in [false, true] {
        let mut answers = Door::open(&door(&image));
        let mut left = 3;
        let peer = Peer::start(move |request| {
            let answer = match gives_parts {
                true => answers(request),
                false => answers(&request.replace("Range: ", "x-Other: ")),
            };
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
            let most = end.unwrap() + 4 + 40 - 10 * left;
            if request.starts_with("GET") && left > 0 {
                left -= 1;
                return answer[..most].to_vec();
            }
            answer
        });
        let mut bench = four_parts(&peer);
        assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
        assert!(new.is_in(&mut bench));
        let confirmed = format!("state=confirmed; sha256={}; version=2.0", image.sha256());
        assert_eq!(told(&peer), [confirmed.as_str()], "{gives_parts}");
    }
}

#[test]
fn what_goes_on_has_to_have_the_header_that_was_begun_with() {
    let new = large(2);
    let image = new.image();
    let peer = Peer::start(Door::open(&door(&image)));
    let mut bench = four_parts(&peer);
    bench.device.set_faults(cut_at(120_000));
    assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
    // A byte of the payload's digest.
    let digest = <sha2::Sha256 as sha2::Digest>::digest(new.payload().build());
    let mut windows = image.bytes.windows(32);
    let at = windows.position(|window| *window == digest[..]).unwrap();
    bench.device.set_faults(Faults {
        flip_byte: Some(at as u32),
        ..Faults::default()
    });
    let before = fetched(&bench);
    assert_eq!(
        bench.check().0.unwrap(),
        Settled::Refused { reason: "digest" }
    );
    assert!(fetched(&bench) - before <= 4096, "at once");
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    assert!(new.is_in(&mut bench));
}

#[test]
fn a_file_that_is_not_the_one_offered_is_refused_however_often_it_comes() {
    let new = large(2);
    let image = new.image();
    let mut answers = Door::open(&door(&image));
    let (said, other) = (image.sha256(), "5a".repeat(32));
    let peer = Peer::start(move |request| {
        let answer = answers(&request.replace(&other, &said));
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = answer.split_at(end.unwrap());
        let head = String::from_utf8(head.to_vec()).unwrap();
        [head.replace(&said, &other).as_bytes(), body].concat()
    });
    let mut bench = four_parts(&peer);
    for _ in 0..3 {
        let refused = Settled::Refused { reason: "digest" };
        assert_eq!(bench.check().0.unwrap(), refused);
    }
    assert_eq!(bench.version(), "1.0.0");
}

#[test]
fn a_file_of_another_length_than_its_image_is_refused_before_anything_is_staged() {
    let new = large(2);
    let mut longer = new.image();
    longer.bytes.push(0);
    let mut shorter = new.image();
    shorter.bytes.pop();
    for (image, reason) in [
        (longer, "matter-trailing-bytes"),
        (shorter, "matter-truncated"),
    ] {
        let peer = Peer::start(Door::open(&door(&image)));
        let mut bench = four_parts(&peer);
        assert_eq!(bench.check().0.unwrap(), Settled::Refused { reason });
        assert!(fetched(&bench) <= 4096);
    }
}
