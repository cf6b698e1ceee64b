//! The golden scenarios of boot selection, replayed on a virtual board with real images in its slots: the same decisions, and the same
//! bytes in flash after every step.

use std::fs;

use airlift_formats::esp::otadata::{self, Images, Record, Rewrite, predict};
use airlift_sim::board::{Board, Build, Efuse, EspBoard, Slot};
use airlift_sim::flash::Model;
use serde_json::Value;

use crate::flashed::{Layout, OTADATA, SLOT_LEN, board, golden, golden_path, sealed};

/// A board that plays a scenario, and what the app side knows.
struct Player {
    board: EspBoard,
    layout: Layout,
    running: Slot,
}

/// What the app side finds in the slots.
struct Flashed<'a>(&'a EspBoard);

impl Images for Flashed<'_> {
    fn verifies(&mut self, slot: Slot) -> bool {
        self.summary(slot).is_some()
    }

    fn secure_version(&mut self, slot: Slot) -> Option<u32> {
        self.summary(slot)
    }
}

impl Flashed<'_> {
    fn summary(&self, slot: Slot) -> Option<u32> {
        let region = self.0.table().expect("a table").app(slot)?;
        Some(self.0.verify(region).ok()?.secure_version)
    }
}

/// The build that a scenario was recorded with: see section 11 of the protocol page.
fn build_of(scenario: &str) -> Build {
    match scenario.get(1..3).and_then(|number| number.parse().ok()) {
        Some(1..=5 | 16 | 19..=22) => Build::Plain,
        Some(13 | 14) => Build::AntiRollback,
        _ => Build::Rollback,
    }
}

fn number(line: &Value, key: &str) -> i64 {
    line[key]
        .as_i64()
        .unwrap_or_else(|| panic!("no number {key:?} in {line}"))
}

fn slot(line: &Value) -> Slot {
    match number(line, "slot") {
        -1 => Slot::Factory,
        index => Slot::Ota(index.try_into().expect("a slot")),
    }
}

fn record(line: &Value, key: &str) -> [u8; 32] {
    let hex = line[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key:?} in {line}"));
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex");
    std::array::from_fn(byte)
}

fn code<T>(result: &Result<T, predict::IdfError>) -> i64 {
    match result {
        Ok(_) => 0,
        Err(error) => error.code().expect("the call returns").into(),
    }
}

impl Player {
    /// A blank boot selection, and a good image in every app partition.
    fn new(build: Build, init: &Value, model: Model) -> Self {
        let ota = number(init, "ota_slots").try_into().expect("a few slots");
        let layout = Layout {
            ota,
            factory: number(init, "factory") != 0,
        };
        let slots = (0..ota)
            .map(Slot::Ota)
            .chain(layout.factory.then_some(Slot::Factory));
        let images: Vec<_> = slots
            .map(|slot| (slot, golden("app/app_esp32_v1.bin")))
            .collect();
        let efuse = Efuse::new(number(init, "efuse").try_into().expect("a version"));
        Self {
            board: board(layout, build, model, &images).with_efuse(efuse),
            layout,
            running: Slot::Ota(0),
        }
    }

    fn records(&self) -> [Record; 2] {
        self.board
            .records()
            .expect("readable")
            .expect("an otadata partition")
    }

    fn rewrite(&mut self, rewrite: Option<Rewrite>) {
        if let Some(rewrite) = rewrite {
            self.board.rewrite(&rewrite).expect("power");
        }
    }

    /// Writes another image to an app partition.
    fn flash(&mut self, slot: Slot, image: &[u8]) {
        let region = self
            .board
            .table()
            .expect("a table")
            .app(slot)
            .expect("a partition");
        let mut nor = self.board.flash().lock();
        nor.erase(region.offset, region.offset + SLOT_LEN)
            .expect("power");
        nor.write(region.offset, image).expect("power");
    }

    /// Plays a step and compares what it answers.
    fn play(&mut self, line: &Value) {
        let slots = self.layout.ota;
        let (build, efuse) = (self.board.build(), self.board.efuse());
        let records = self.records();
        match line["op"].as_str().expect("an operation") {
            "init" => {}
            "entry" => {
                let sector = number(line, "i").try_into().expect("0 or 1");
                let record = Record::parse(&self::record(line, ["s0", "s1"][sector]));
                self.rewrite(Some(Rewrite { sector, record }));
            }
            "ok" => {
                let mut image = golden("app/app_esp32_v1.bin");
                image[0x400] ^= u8::from(number(line, "valid_image") == 0);
                self.flash(slot(line), &image);
            }
            "secver" => {
                let version: u32 = number(line, "v").try_into().expect("a version");
                let change =
                    |image: &mut [u8]| image[36..40].copy_from_slice(&version.to_le_bytes());
                self.flash(slot(line), &sealed(&golden("app/app_esp32_v1.bin"), change));
            }
            "boot" => {
                let booted = self.board.boot().expect("an app boots");
                assert_eq!(
                    i64::from(booted.selected.index()),
                    number(line, "selected"),
                    "{line}"
                );
                assert_eq!(
                    i64::from(booted.slot.index()),
                    number(line, "loaded"),
                    "{line}"
                );
                self.running = booted.slot;
            }
            "set_boot" => {
                let Slot::Ota(target) = slot(line) else {
                    panic!("{line}")
                };
                let rewrite = predict::set_boot(build, &records, slots, target);
                assert_eq!(code(&rewrite), number(line, "rc"), "{line}");
                self.rewrite(rewrite.ok());
            }
            "mark_valid" => {
                let rewrite = predict::mark_valid(&records, slots);
                assert_eq!(code(&rewrite), number(line, "rc"), "{line}");
                if let Ok(Some(rewrite)) = rewrite {
                    self.rewrite(Some(rewrite));
                    let version = Flashed(&self.board).secure_version(self.running);
                    if build == Build::AntiRollback {
                        self.board.burn(version.expect("an app"));
                    }
                }
            }
            "mark_invalid" => {
                let images = &mut Flashed(&self.board);
                let rewrite = predict::mark_invalid(
                    build,
                    &records,
                    slots,
                    self.layout.factory,
                    efuse,
                    images,
                );
                assert_eq!(code(&rewrite), number(line, "rc"), "{line}");
                self.rewrite(rewrite.ok());
            }
            "can_rollback" => {
                let images = &mut Flashed(&self.board);
                let possible = predict::rollback_is_possible(
                    build,
                    &records,
                    slots,
                    self.layout.factory,
                    efuse,
                    images,
                );
                assert_eq!(i64::from(possible), number(line, "result"), "{line}");
            }
            "inval_inactive" => {
                let sector = predict::inval_inactive(&records, slots, self.running);
                assert_eq!(
                    if sector.is_some() { 0 } else { -1 },
                    number(line, "rc"),
                    "{line}"
                );
                if let Some(sector) = sector {
                    let start = OTADATA + sector as u32 * otadata::SECTOR_SIZE;
                    self.board
                        .flash()
                        .lock()
                        .erase(start, start + otadata::SECTOR_SIZE)
                        .expect("power");
                }
            }
            "state" => {
                let state = predict::state_of(&records, slots, slot(line));
                assert_eq!(code(&state), number(line, "rc"), "{line}");
                if let Ok(state) = state {
                    assert_eq!(i64::from(state.to_u32()), number(line, "state"), "{line}");
                }
            }
            other => panic!("unknown operation {other:?}"),
        }
    }

    /// The bytes of the otadata partition.
    fn otadata(&self) -> Vec<u8> {
        let start = OTADATA as usize;
        self.board.flash().lock().cells()[start..start + otadata::PARTITION_SIZE as usize].to_vec()
    }
}

#[test]
fn golden_scenarios_leave_the_same_bytes_in_flash() {
    let folder = golden_path("otadata");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("golden vectors {}: {error}", folder.display()))
        .filter_map(|file| file.expect("a file").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".jsonl").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no scenarios in {}", folder.display());
    let mut images = 0;
    for name in names {
        let text = String::from_utf8(golden(&format!("otadata/{name}.jsonl"))).expect("text");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        for model in Model::ALL {
            let mut player = Player::new(build_of(&name), &lines[0], model);
            for (step, line) in lines.iter().enumerate() {
                player.play(line);
                let otadata = player.otadata();
                for (at, key) in [(0, "s0"), (0x1000, "s1")] {
                    assert_eq!(
                        otadata[at..at + 32],
                        record(line, key),
                        "{name}, step {step}, {key}: {line}"
                    );
                }
                assert_eq!(
                    i64::from(player.board.efuse().version),
                    number(line, "efuse_secver"),
                    "{name}: {line}"
                );
                let operation = line["op"].as_str().expect("an operation");
                let image = golden_path(&format!("otadata/{name}.step{step:02}_{operation}.bin"));
                if let Ok(image) = fs::read(image) {
                    assert_eq!(otadata, image, "{name}, step {step}");
                    images += 1;
                }
            }
            assert_eq!(
                player.board.flash().lock().statistics().words_reprogrammed,
                0
            );
        }
    }
    assert!(images > 0, "no images of otadata in {}", folder.display());
}
