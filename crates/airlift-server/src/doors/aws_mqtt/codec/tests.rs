//! Bytes by hand, so that the library is not checked against itself.

use super::*;

const MAX_PACKET: u32 = 4096;

/// Protocol name, level 4, clean session, keep-alive 60, client identifier "c".
const CONNECT_V3: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
/// The same for MQTT 5, without properties.
const CONNECT_V5: &[u8] = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c";

fn feed(codec: &mut Codec, bytes: &[u8]) -> Result<Vec<Packet>, Fault> {
    let mut input = BytesMut::from(bytes);
    let mut packets = Vec::new();
    loop {
        match codec.feed(&mut input)? {
            Some(packet) => packets.push(packet),
            None if input.is_empty() => return Ok(packets),
            None => {}
        }
    }
}

fn connected(connect: &[u8]) -> Codec {
    let mut codec = Codec::new(MAX_PACKET);
    let packets = feed(&mut codec, connect).unwrap();
    assert!(matches!(packets[..], [Packet::Connect(_)]));
    codec
}

fn connect(bytes: &[u8]) -> Connect {
    match feed(&mut Codec::new(MAX_PACKET), bytes).unwrap().pop() {
        Some(Packet::Connect(connect)) => *connect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_introduce_themselves_in_both_versions() {
    let v3 = connect(CONNECT_V3);
    assert_eq!((v3.version, v3.client_id.as_str()), (Version::V3, "c"));
    assert!(v3.clean_start);
    assert_eq!((v3.session_expiry, v3.keep_alive), (0, 60));
    assert_eq!((v3.receive_maximum, v3.maximum_packet), (65_535, u32::MAX));
    assert_eq!(connect(CONNECT_V5).version, Version::V5);

    // Session expiry 60 s, receive maximum 5, maximum packet 1000; user name "u", password "p"; no clean start.
    let bytes = b"\x10\x21\x00\x04MQTT\x05\xc0\x00\x00\x0d\x11\x00\x00\x00\x3c\x21\x00\x05\x27\x00\x00\x03\xe8\x00\x01c\x00\x01u\x00\x01p";
    let v5 = connect(bytes);
    assert!(!v5.clean_start);
    assert_eq!((v5.session_expiry, v5.keep_alive), (60, 0));
    assert_eq!((v5.receive_maximum, v5.maximum_packet), (5, 1000));
    assert_eq!(v5.user_name.as_deref(), Some("u"));
    assert_eq!(v5.password.as_deref(), Some(&b"p"[..]));
}

#[test]
fn a_client_that_takes_no_topic_aliases_may_say_so() {
    // Topic Alias Maximum 0: what makes the library's own state machine panic.
    let bytes = b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x03\x22\x00\x00\x00\x01c";
    assert_eq!(connect(bytes).client_id, "c");
}

#[test]
fn packets_come_in_any_pieces() {
    let mut bytes = CONNECT_V5.to_vec();
    bytes.extend_from_slice(b"\x32\x0a\x00\x03a/b\x00\x07\x00xy");
    bytes.extend_from_slice(b"\x82\x07\x00\x08\x00\x00\x01a\x01");
    bytes.extend_from_slice(b"\xc0\x00\x40\x02\x00\x09\xe0\x00");
    let whole = feed(&mut Codec::new(MAX_PACKET), &bytes).unwrap();
    assert_eq!(whole.len(), 6);
    assert_eq!(
        whole[1],
        Packet::Publish(Publish {
            topic: "a/b".into(),
            id: Some(7),
            payload: Bytes::from_static(b"xy"),
        })
    );
    assert_eq!(
        whole[2],
        Packet::Subscribe(Subscribe {
            id: 8,
            filters: vec![("a".into(), Qos::AtLeastOnce)],
        })
    );
    assert_eq!(whole[3..5], [Packet::Pingreq, Packet::Puback(9)]);
    for size in 1..bytes.len() {
        let mut codec = Codec::new(MAX_PACKET);
        let pieces = bytes.chunks(size);
        let packets: Vec<Packet> = pieces
            .flat_map(|piece| feed(&mut codec, piece).unwrap())
            .collect();
        assert_eq!(packets, whole, "pieces of {size}");
    }
}

#[test]
fn what_is_not_an_introduction_is_refused() {
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Reason::ProtocolError),
        (b"\x16\x03\x01\x00\x05hello....", Reason::ProtocolError),
        (b"\xc0\x00", Reason::ProtocolError),
        (b"\x30\x03\x00\x01a", Reason::ProtocolError),
        (
            b"\x11\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c",
            Reason::ProtocolError,
        ),
        (b"\x10\x00", Reason::UnsupportedProtocolVersion),
        (
            b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00",
            Reason::UnsupportedProtocolVersion,
        ),
        (
            b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01c",
            Reason::UnsupportedProtocolVersion,
        ),
        (
            b"\x10\x0d\x00\x04mqtt\x04\x02\x00\x3c\x00\x01c",
            Reason::UnsupportedProtocolVersion,
        ),
        // The reserved flag, a QoS without a will, a will with QoS 3.
        (
            b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01c",
            Reason::MalformedPacket,
        ),
        (
            b"\x10\x0d\x00\x04MQTT\x04\x0a\x00\x3c\x00\x01c",
            Reason::MalformedPacket,
        ),
        (
            b"\x10\x13\x00\x04MQTT\x04\x1e\x00\x3c\x00\x01c\x00\x01w\x00\x01x",
            Reason::MalformedPacket,
        ),
        // Text that ends beyond the packet; bytes behind the last field.
        (
            b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x02c",
            Reason::ClientIdentifierNotValid,
        ),
        (
            b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x01cx",
            Reason::MalformedPacket,
        ),
        (
            b"\x10\x0d\x00\x04MQTT\x04\x82\x00\x3c\x00\x01c",
            Reason::BadUserNameOrPassword,
        ),
        // An authentication method "x"; a receive maximum of 0.
        (
            b"\x10\x12\x00\x04MQTT\x05\x02\x00\x3c\x04\x15\x00\x01x\x00\x01c",
            Reason::BadAuthenticationMethod,
        ),
        (
            b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x03\x21\x00\x00\x00\x01c",
            Reason::ProtocolError,
        ),
        // A length of more than four bytes; one byte too much for a stranger.
        (b"\x10\xff\xff\xff\xff\x01", Reason::MalformedPacket),
        (b"\x10\xfe\x7f", Reason::PacketTooLarge),
    ] {
        let verdict = feed(&mut Codec::new(1 << 20), bytes);
        assert_eq!(
            verdict.map_err(|fault| fault.reason),
            Err(reason),
            "{bytes:x?}"
        );
    }
}

#[test]
fn what_a_client_may_not_send_ends_its_connection() {
    for (bytes, reason) in [
        // QoS 2, QoS 3, identifier 0, to be retained.
        (
            &b"\x34\x06\x00\x01a\x00\x01\x00"[..],
            Reason::QosNotSupported,
        ),
        (b"\x36\x06\x00\x01a\x00\x01\x00", Reason::MalformedPacket),
        (b"\x32\x06\x00\x01a\x00\x00\x00", Reason::ProtocolError),
        // Packets of QoS 2.
        (b"\x50\x02\x00\x01", Reason::ProtocolError),
        (b"\x62\x02\x00\x01", Reason::ProtocolError),
        (b"\x70\x02\x00\x01", Reason::ProtocolError),
        // Those of a server, and one that does not exist.
        (b"\x20\x02\x00\x00", Reason::ProtocolError),
        (b"\x90\x03\x00\x01\x00", Reason::ProtocolError),
        (b"\xb0\x02\x00\x01", Reason::ProtocolError),
        (b"\xd0\x00", Reason::ProtocolError),
        (b"\xf0\x00", Reason::ProtocolError),
        (b"\x00\x00", Reason::ProtocolError),
        // Flags that are reserved; a PINGREQ with a body; acknowledgement of nothing.
        (b"\x80\x06\x00\x08\x00\x01a\x01", Reason::MalformedPacket),
        (b"\xa0\x05\x00\x08\x00\x01a", Reason::MalformedPacket),
        (b"\xc1\x00", Reason::MalformedPacket),
        (b"\xc0\x01\x00", Reason::MalformedPacket),
        (b"\x40\x02\x00\x00", Reason::MalformedPacket),
        (b"\x40\x01\x00", Reason::MalformedPacket),
        // A topic that ends beyond the packet, one that is not UTF-8.
        (b"\x30\x03\x00\x09a", Reason::MalformedPacket),
        (b"\x30\x04\x00\x01\xff\x00", Reason::MalformedPacket),
        // Too large by one.
        (b"\x30\xfe\x1f", Reason::PacketTooLarge),
    ] {
        for connect in [CONNECT_V3, CONNECT_V5] {
            let verdict = feed(&mut connected(connect), bytes);
            assert_eq!(
                verdict.map_err(|fault| fault.reason),
                Err(reason),
                "{bytes:x?}"
            );
        }
    }
    let again = |connect: &[u8]| feed(&mut connected(connect), connect).unwrap_err();
    assert_eq!(again(CONNECT_V3).what, "a second CONNECT");
    assert_eq!(again(CONNECT_V5).what, "a second CONNECT");
}

#[test]
fn what_mqtt_5_was_not_offered_is_refused_by_name() {
    for (bytes, reason) in [
        // To be retained; topic alias 1; a subscription identifier with a message, and with a subscription.
        (&b"\x31\x04\x00\x01a\x00"[..], Reason::RetainNotSupported),
        (
            b"\x30\x07\x00\x01a\x03\x23\x00\x01",
            Reason::TopicAliasInvalid,
        ),
        (b"\x30\x06\x00\x01a\x02\x0b\x01", Reason::ProtocolError),
        (
            b"\x82\x09\x00\x08\x02\x0b\x01\x00\x01a\x01",
            Reason::SubscriptionIdentifiersNotSupported,
        ),
        // No filter; options with reserved bits.
        (b"\x82\x03\x00\x08\x00", Reason::ProtocolError),
        (
            b"\x82\x07\x00\x08\x00\x00\x01a\xc1",
            Reason::MalformedPacket,
        ),
    ] {
        let verdict = feed(&mut connected(CONNECT_V5), bytes);
        assert_eq!(
            verdict.map_err(|fault| fault.reason),
            Err(reason),
            "{bytes:x?}"
        );
    }
    // 3.1.1 has no way to say that nothing is retained; the message counts all the same.
    let retained = feed(&mut connected(CONNECT_V3), b"\x31\x03\x00\x01a").unwrap();
    assert!(matches!(retained[..], [Packet::Publish(_)]));
}

#[test]
fn answers_have_the_bytes_of_the_standard() {
    let emitted = |emit: &dyn Fn(&mut BytesMut)| {
        let mut out = BytesMut::new();
        emit(&mut out);
        out.to_vec()
    };
    let message = |id| Delivery {
        topic: "a/b",
        payload: b"xy",
        id,
        is_repeated: false,
    };
    for (version, plain, numbered) in [
        (
            Version::V3,
            &b"\x30\x07\x00\x03a/bxy"[..],
            &b"\x32\x09\x00\x03a/b\x00\x07xy"[..],
        ),
        (
            Version::V5,
            b"\x30\x08\x00\x03a/b\x00xy",
            b"\x32\x0a\x00\x03a/b\x00\x07\x00xy",
        ),
    ] {
        assert_eq!(
            emitted(&|out| version.publish(&message(None), out).unwrap()),
            plain
        );
        assert_eq!(
            emitted(&|out| version.publish(&message(Some(7)), out).unwrap()),
            numbered
        );
        let repeated = Delivery {
            is_repeated: true,
            ..message(Some(7))
        };
        assert_eq!(
            emitted(&|out| version.publish(&repeated, out).unwrap())[0],
            0x3a
        );
        assert_eq!(emitted(&|out| version.pingresp(out)), b"\xd0\x00");
        assert_eq!(
            emitted(&|out| version.puback(7, None, out).unwrap())[..4],
            *b"\x40\x02\x00\x07"
        );
    }
    let verdicts = [
        Ok(Qos::AtMostOnce),
        Ok(Qos::AtLeastOnce),
        Err(Reason::NotAuthorized),
    ];
    assert_eq!(
        emitted(&|out| Version::V3.suback(8, &verdicts, out).unwrap()),
        b"\x90\x05\x00\x08\x00\x01\x80"
    );
    assert_eq!(
        emitted(&|out| Version::V5.suback(8, &verdicts, out).unwrap()),
        b"\x90\x06\x00\x08\x00\x00\x01\x87"
    );
    assert_eq!(
        emitted(&|out| Version::V3.unsuback(8, &[true], out).unwrap()),
        b"\xb0\x02\x00\x08"
    );
    assert_eq!(
        emitted(&|out| Version::V5.unsuback(8, &[true, false], out).unwrap()),
        b"\xb0\x05\x00\x08\x00\x00\x11"
    );
    let refused = Some(Reason::NotAuthorized);
    assert_eq!(
        emitted(&|out| Version::V5.puback(7, refused, out).unwrap()),
        b"\x40\x03\x00\x07\x87"
    );
    assert_eq!(
        emitted(&|out| Version::V5
            .disconnect(Reason::SessionTakenOver, out)
            .unwrap()),
        b"\xe0\x01\x8e"
    );
    assert_eq!(
        emitted(&|out| Version::V3
            .disconnect(Reason::SessionTakenOver, out)
            .unwrap()),
        b""
    );
    assert_eq!(
        emitted(&|out| Version::V3
            .refuse(Reason::NotAuthorized, "no", out)
            .unwrap()),
        b"\x20\x02\x00\x05"
    );
    assert_eq!(
        emitted(&|out| Version::V5
            .refuse(Reason::NotAuthorized, "no", out)
            .unwrap()),
        b"\x20\x08\x00\x87\x05\x1f\x00\x02no"
    );
    let greeting = Greeting {
        session_present: true,
        session_expiry: Some(3600),
        keep_alive: None,
        receive_maximum: 16,
        maximum_packet: 0x0002_0400,
        assigned_client_id: None,
    };
    assert_eq!(
        emitted(&|out| Version::V3.welcome(&greeting, out).unwrap()),
        b"\x20\x02\x01\x00"
    );
    assert_eq!(
        emitted(&|out| Version::V5.welcome(&greeting, out).unwrap()),
        b"\x20\x18\x01\x00\x15\x21\x00\x10\x27\x00\x02\x04\x00\x24\x01\x25\x00\x29\x00\x2a\x00\x11\x00\x00\x0e\x10"
    );
}

/// Good packets with a few bytes changed, cut off or repeated: there is an answer to each, and it is not a panic.
#[test]
fn damaged_packets_are_packets_or_faults() {
    let seeds: [&[u8]; 9] = [
        CONNECT_V3,
        CONNECT_V5,
        b"\x10\x21\x00\x04MQTT\x05\xc0\x00\x00\x0d\x11\x00\x00\x00\x3c\x21\x00\x05\x27\x00\x00\x03\xe8\x00\x01c\x00\x01u\x00\x01p",
        b"\x32\x0a\x00\x03a/b\x00\x07\x00xy",
        b"\x82\x0d\x00\x08\x00\x00\x01a\x01\x00\x03a/#\x02",
        b"\xa2\x06\x00\x08\x00\x00\x01a",
        b"\x40\x04\x00\x07\x10\x00",
        b"\xe0\x07\x00\x05\x11\x00\x00\x00\x3c",
        b"\x30\x16\x00\x01a\x11\x01\x01\x02\x00\x00\x00\x01\x03\x00\x01t\x08\x00\x01r\x09\x00",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (below as u64)).unwrap()
    };
    let (mut packets, mut faults) = (0, 0);
    for _ in 0..200_000 {
        let mut bytes = Vec::new();
        if random(4) > 0 {
            bytes.extend_from_slice([CONNECT_V3, CONNECT_V5][random(2)]);
        }
        for _ in 0..=random(2) {
            let from = bytes.len();
            bytes.extend_from_slice(seeds[random(seeds.len())]);
            for _ in 0..random(4) {
                let at = from + random(bytes.len() - from);
                match random(4) {
                    0 => bytes[at] = u8::try_from(random(256)).unwrap(),
                    1 => bytes[at] ^= 1 << random(8),
                    2 if bytes.len() > from + 1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, u8::try_from(random(256)).unwrap()),
                }
            }
        }
        match feed(&mut Codec::new(MAX_PACKET), &bytes) {
            Ok(found) => packets += found.len(),
            Err(_) => faults += 1,
        }
    }
    // Neither all good nor all bad: the damage reaches behind the first bytes.
    assert!(packets > 50_000 && faults > 50_000, "{packets} {faults}");
}
