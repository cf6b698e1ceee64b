//! Connections that break, and servers that are away.

use super::*;

#[test]
fn a_connection_that_breaks_is_made_again_for_the_rest() {
    let new = world(2).image();
    let door = door(&new);
    let mut answers = Door::open(&door);
    let mut left = 3;
    // Three times, no more than 6000 bytes come.
    let peer = Peer::start(move |request| {
        let answer = answers(request);
        if request.starts_with("GET") && left > 0 && answer.len() > 6_000 {
            left -= 1;
            return answer[..6_000].to_vec();
        }
        answer
    });
    let mut bench = bench(&peer);
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    assert_eq!(finds(&mut bench), 2);
    let fetched = bench.device.counters().bytes_fetched;
    assert!(fetched < new.bytes.len() as u64 + 2_000, "{fetched}");
    let asked: Vec<_> = peer
        .requests()
        .iter()
        .filter_map(|request| Peer::offset(request))
        .collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.is_sorted());
}

#[test]
fn a_connection_that_breaks_for_good_is_reported_as_interrupted_with_the_next_check() {
    let new = world(2).image();
    let door = door(&new);
    let mut answers = Door::open(&door);
    let mut down = true;
    let peer = Peer::start(move |request| {
        let answer = answers(request);
        if request.starts_with("GET")
            && Peer::offset(request).is_none()
            && std::mem::take(&mut down)
        {
            return answer[..6_000].to_vec();
        }
        if Peer::offset(request).is_some() {
            return status("503 Service Unavailable")(request);
        }
        answer
    });
    let mut bench = bench(&peer);
    assert_eq!(bench.check().0.unwrap(), Settled::Interrupted);
    assert_eq!(finds(&mut bench), OLD);
    assert!(matches!(bench.check().0.unwrap(), Settled::Updated { .. }));
    let told = told(&peer);
    assert!(told[0].starts_with("state=interrupted"), "{told:?}");
    assert_eq!(finds(&mut bench), 2);
}

#[test]
fn a_server_that_has_the_rest_and_does_not_send_it_is_not_asked_for_ever() {
    let new = world(2).image();
    let door = door(&new);
    let mut answers = Door::open(&door);
    let peer = Peer::start(move |request| {
        let answer = answers(request);
        if Peer::offset(request).is_some() {
            let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
            return answer[..head.unwrap() + 4].to_vec();
        }
        answer[..answer.len().min(6_000)].to_vec()
    });
    let mut bench = bench(&peer);
    assert_eq!(bench.check().0.unwrap(), Settled::Interrupted);
    assert_eq!(peer.requests().len(), 2);
}

#[test]
fn a_server_that_was_away_hears_of_it_later_and_once() {
    let door = door(&world(2).image());
    let mut answers = Door::open(&door);
    let mut away = 0;
    let peer = Peer::start(move |request| {
        // Reports are not answered at first.
        if request.contains("x-Airlift-Update") && away < 2 {
            away += 1;
            return status("503 Service Unavailable")(request);
        }
        answers(request)
    });
    let mut bench = bench(&peer);
    bench.check().0.unwrap();
    assert_eq!(finds(&mut bench), 2);
    // Another process: what is not told is in the flash.
    bench.reopen();
    let plan = plan(&bench);
    bench.device.declare_set(&plan).unwrap();
    for _ in 0..3 {
        bench.check().0.unwrap();
    }
    let told = told(&peer);
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(
        told.iter()
            .all(|told| told.starts_with("state=confirmed; sha256="))
    );
    assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
}

#[test]
fn what_was_begun_and_is_not_on_offer_any_more_is_given_up() {
    let door = door(&world(2).image());
    let peer = Peer::start(Door::open(&door));
    let mut bench = bench(&peer);
    bench.device.set_faults(Faults {
        power_cut: Some(PowerCut::AtByte(9_000)),
        ..Faults::default()
    });
    assert_eq!(bench.check().0.unwrap(), Settled::PowerLost);
    door.lock().unwrap().data.clear();
    for _ in 0..3 {
        assert_eq!(bench.check().0.unwrap(), Settled::UpToDate);
    }
    let told = told(&peer);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("state=interrupted"), "{told:?}");
    assert_eq!(finds(&mut bench), OLD);
}
