//! Images for all parts of a device, and what a device holds of them.

use super::*;

pub(super) const VENDOR: u16 = 0xFFF1;
pub(super) const PRODUCT: u16 = 0x8001;
/// Tags of the parts that lie in other flashes: the first eight custom ones.
pub(super) const CUSTOM: std::ops::RangeInclusive<u32> = 100..=107;
/// What the device holds before: of each part.
pub(super) const OLD: u8 = 1;

pub(super) const TABLE: &str = "\
nvs,     data, nvs,   0x9000,  0x4000
otadata, data, ota,   0xd000,  0x2000
ota_0,   app,  ota_0, 0x10000, 0x20000
ota_1,   app,  ota_1, 0x30000, 0x20000
ssbl,    data, 0x40,  0x50000, 0x4000
keys,    data, 0x41,  0x54000, 0x1000
spare,   data, 0x42,  0x55000, 0xa000
big,     data, 0x43,  0x60000, 0x8000
airlift, data, undefined, 0xfc000, 0x4000
";
pub(super) const SSBL: u32 = 0x5_0000;
pub(super) const KEYS: u32 = 0x5_4000;

pub(super) fn table() -> Vec<u8> {
    let compiled = csv::compile(TABLE.as_bytes(), &Options::default(), &|_| None).unwrap();
    compiled.binary().to_vec()
}

pub(super) fn plan(bench: &Bench) -> SetPlan {
    let partition = |tag, name: &str| SetPartPlan {
        tag,
        to: PartPlan::Partition {
            name: name.to_owned(),
            room: None,
            save: None,
        },
    };
    let mut parts = vec![
        SetPartPlan {
            tag: 1,
            to: PartPlan::App,
        },
        partition(2, "ssbl"),
        partition(3, "keys"),
    ];
    parts.extend(CUSTOM.map(|tag| SetPartPlan {
        tag,
        to: PartPlan::External {
            file: bench.file(&format!("part-{tag}.bin")),
            size: 3000,
            descriptor: 132,
        },
    }));
    SetPlan {
        vendor: VENDOR,
        product: PRODUCT,
        software_version: 1,
        allows_downgrade: false,
        unknown: UnknownTags::Refuse,
        policy: SetPolicy::AllOrNothing,
        notes: "nvs".to_owned(),
        spare: "spare".to_owned(),
        parts,
    }
}

/// What an image brings: all parts differ from one number to the next.
#[derive(Clone)]
pub(super) struct World {
    pub(super) number: u8,
    pub(super) app: Vec<u8>,
    pub(super) ssbl: Vec<u8>,
    pub(super) keys: Vec<u8>,
    pub(super) custom: Vec<(u32, Vec<u8>)>,
}

pub(super) fn bytes(seed: u8, tag: u32, size: usize) -> Vec<u8> {
    let seed = u32::from(seed) * 31 + tag * 7;
    (0..size as u32).map(|i| (seed + i / 5) as u8).collect()
}

pub(super) fn world(number: u8) -> World {
    let certificate = bytes(number, 3, 200);
    let keys = FactoryData {
        dac_certificate: Some(&certificate),
        ..FactoryData::default()
    };
    World {
        number,
        app: image(ChipId::ESP32, "demo", &format!("{number}.0.0"), 9_000).bytes,
        ssbl: bytes(number, 2, 5_001),
        keys: keys.emit(),
        custom: CUSTOM
            .map(|tag| (tag, bytes(number, tag, 1_000 + tag as usize)))
            .collect(),
    }
}

pub(super) fn descriptor(number: u8) -> Descriptor {
    Descriptor::new(number.into(), &format!("{number}.0"), "2026-11-26").unwrap()
}

impl World {
    pub(super) fn payload(&self) -> PayloadBuilder {
        let mut payload = PayloadBuilder::default();
        for (tag, content) in &self.custom {
            let descriptor = descriptor(self.number).emit();
            payload.custom(*tag, &descriptor, content).unwrap();
        }
        let keys = FactoryData::parse(&self.keys).unwrap();
        payload.factory_data(&keys).unwrap();
        let descriptor = descriptor(self.number);
        payload.bootloader(&descriptor, &self.ssbl).unwrap();
        payload.application(&descriptor, &self.app).unwrap();
        payload
    }

    pub(super) fn image(&self) -> Image {
        packed(self.number, VENDOR, PRODUCT, &self.payload().build())
    }
}

pub(super) fn packed(number: u8, vendor: u16, product: u16, payload: &[u8]) -> Image {
    let version = format!("{number}.0");
    let builder = ImageBuilder::new(vendor, product, number.into(), &version);
    Image {
        bytes: builder.build(payload).unwrap(),
        version,
    }
}

pub(super) fn door(image: &Image) -> Arc<Mutex<Door>> {
    Arc::new(Mutex::new(Door {
        app: None,
        data: vec![(SET_PLACE, image.clone())],
    }))
}

/// A device with all eleven parts, which holds the world 1: its app runs, and another image of that world is the only one that it ever took.
pub(super) fn bench(peer: &Peer) -> Bench {
    let mut bench = Bench::with_table(peer, &table());
    let plan = plan(&bench);
    bench.device.declare_set(&plan).unwrap();
    let old = world(OLD);
    bench.fill(SSBL, &old.ssbl);
    bench.fill(KEYS, &old.keys);
    bench
}

/// Which world each part is of, as the running app finds it: 1 to 4, or 0 for none of them.
pub(super) fn found(flash: &Flash, running: &mut Running<'_>) -> Vec<u8> {
    let worlds: Vec<World> = (1..=4).map(world).collect();
    let mut of = Vec::new();
    let mut note = |is: &dyn Fn(&World) -> bool| {
        of.push(
            worlds
                .iter()
                .find(|world| is(world))
                .map_or(0, |world| world.number),
        );
    };
    note(&|world| running.version() == format!("{}.0.0", world.number));
    let cells = flash.lock().cells().to_vec();
    note(&|world| cells[SSBL as usize..].starts_with(&world.ssbl));
    note(&|world| cells[KEYS as usize..].starts_with(&world.keys));
    for (index, tag) in CUSTOM.enumerate() {
        let held = running.external(tag);
        note(&|world| match &held {
            None => world.number == OLD,
            Some(held) => world.number != OLD && *held == world.custom[index].1,
        });
    }
    of
}

/// The one world that all parts are of.
pub(super) fn finds(bench: &mut Bench) -> u8 {
    let flash = bench.device.flash().clone();
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
    let found = found(&flash, &mut running);
    assert!(
        found.iter().all(|of| *of == found[0]),
        "a mixture: {found:?}"
    );
    assert_eq!(found.len(), 11);
    found[0]
}

pub(super) fn report(bench: &mut Bench) -> Option<SetReport> {
    let mut running = bench.device.power_on(&mut |_| {}).unwrap().expect("power");
    running.set().unwrap()
}

pub(super) fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(bench::name).collect()
}

pub(super) fn told(peer: &Peer) -> Vec<String> {
    let requests = peer.requests();
    let told = requests.iter().filter_map(|request| {
        let mut lines = request.lines();
        lines.find_map(|line| line.strip_prefix("x-Airlift-Update: ").map(str::to_owned))
    });
    told.collect()
}
