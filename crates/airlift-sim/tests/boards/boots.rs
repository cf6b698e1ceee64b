//! What the boot loader starts, what it refuses, and what a power cut inside it may cost.

use airlift_formats::esp::app_image::{ChipId, ImageError};
use airlift_formats::esp::otadata::{Record, Rewrite, State};
use airlift_formats::esp::partition_table::{PartitionType, subtype};
use airlift_sim::board::{
    Board, BootError, BootTable, BootTableError, Booted, Build, Efuse, EspBoard, EspChip,
    ProvisionError, Refusal, Slot,
};
use airlift_sim::flash::{CutGrain, Flash, FlashError, Geometry, Model, Nor};

use crate::flashed::{
    Layout, OTADATA, SLOT_LEN, board, golden, golden_path, partition, sealed, table_of,
};

const V1: &str = "app/app_esp32_v1.bin";
const V2: &str = "app/app_esp32_v2.bin";

/// Version 1.0.0 in `ota_0`, 2.0.0 in `ota_1`.
fn two_versions(build: Build, model: Model) -> EspBoard {
    let images = [(Slot::Ota(0), golden(V1)), (Slot::Ota(1), golden(V2))];
    board(
        Layout {
            ota: 2,
            factory: false,
        },
        build,
        model,
        &images,
    )
}

fn select(board: &mut EspBoard, sector: usize, seq: u32, state: State) {
    let record = Record::new(seq, state);
    board.rewrite(&Rewrite { sector, record }).expect("power");
}

fn version(booted: Result<Booted, BootError>) -> String {
    booted.expect("an app boots").app.version
}

#[test]
fn a_fresh_board_boots_its_first_app_and_says_what_it_is() {
    let mut board = two_versions(Build::Rollback, Model::And);
    assert_eq!(
        board.flash().lock().statistics().sectors_erased,
        0,
        "flashing does not count"
    );
    let booted = board.boot().expect("an app boots");
    assert_eq!(
        (booted.slot, booted.selected, booted.trial),
        (Slot::Ota(0), Slot::Ota(0), false)
    );
    assert_eq!(booted.app.project, "golden");
    assert_eq!(booted.app.version, "1.0.0");
    assert_eq!(booted.app.length as usize, golden(V1).len());
    assert_eq!(booted.region.offset, 0x10000);
    // The first boot is noted.
    assert_eq!(
        board.records().expect("readable"),
        Some([Record::new(1, State::Valid), Record::ERASED])
    );
}

#[test]
fn an_app_that_does_not_confirm_itself_is_rolled_back() {
    let mut board = two_versions(Build::Rollback, Model::Ecc);
    assert_eq!(version(board.boot()), "1.0.0");
    select(&mut board, 1, 2, State::New);
    let trial = board.boot().expect("an app boots");
    assert_eq!((trial.slot, trial.trial), (Slot::Ota(1), true));
    assert_eq!(trial.app.version, "2.0.0");
    let after = board.boot().expect("an app boots");
    assert_eq!((after.slot, after.trial), (Slot::Ota(0), false));
}

#[test]
fn a_boot_loader_without_rollback_tries_for_ever() {
    let mut board = two_versions(Build::Plain, Model::And);
    select(&mut board, 1, 2, State::New);
    for _ in 0..3 {
        let booted = board.boot().expect("an app boots");
        assert_eq!((booted.slot, booted.trial), (Slot::Ota(1), false));
    }
}

#[test]
fn a_damaged_image_is_passed_over() {
    let mut board = two_versions(Build::Rollback, Model::And);
    select(&mut board, 0, 1, State::Valid);
    select(&mut board, 1, 2, State::Valid);
    assert_eq!(version(board.boot()), "2.0.0");
    let end = 0x10000 + SLOT_LEN + golden(V2).len() as u32;
    board
        .flash()
        .lock()
        .overwrite(end - 1, &[0])
        .expect("inside");
    let booted = board.boot().expect("an app boots");
    assert_eq!((booted.selected, booted.slot), (Slot::Ota(1), Slot::Ota(0)));

    board
        .flash()
        .lock()
        .overwrite(0x10000, &[0])
        .expect("inside");
    let error = board.boot().expect_err("nothing is whole");
    let BootError::NoBootableApp { tried } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        tried[..],
        [
            (Slot::Ota(1), Refusal::Image(ImageError::Hash)),
            (Slot::Ota(0), Refusal::Image(ImageError::Magic { found: 0 })),
        ]
    );
    assert!(error.to_string().contains("ota_1: "), "{error}");
}

#[test]
fn an_image_for_another_chip_does_not_boot() {
    let mut board = two_versions(Build::Plain, Model::And).with_chip(EspChip::new(ChipId::ESP32C3));
    let error = board.boot().expect_err("for another chip");
    assert!(error.to_string().contains("ESP32-C3"), "{error}");
}

#[test]
fn only_words_that_the_image_has_need_to_be_readable() {
    let mut board = two_versions(Build::Plain, Model::Ecc);
    let end = 0x10000 + golden(V1).len() as u32;
    board.flash().lock().make_unreadable(end).expect("inside");
    assert_eq!(version(board.boot()), "1.0.0");
    board
        .flash()
        .lock()
        .make_unreadable(end - 4)
        .expect("inside");
    let booted = board.boot().expect("an app boots");
    assert_eq!(booted.slot, Slot::Ota(1));
}

#[test]
fn a_record_that_cannot_be_read_counts_as_erased() {
    let mut board = two_versions(Build::Rollback, Model::Ecc);
    select(&mut board, 0, 1, State::Valid);
    select(&mut board, 1, 2, State::Valid);
    board
        .flash()
        .lock()
        .make_unreadable(OTADATA + 0x1000)
        .expect("inside");
    assert_eq!(version(board.boot()), "1.0.0");
}

#[test]
fn anti_rollback_burns_what_is_confirmed_and_refuses_what_is_older() {
    let old = sealed(&golden(V1), |image| {
        image[36..40].copy_from_slice(&1_u32.to_le_bytes());
    });
    let new = sealed(&golden(V2), |image| {
        image[36..40].copy_from_slice(&3_u32.to_le_bytes());
    });
    let images = [(Slot::Ota(0), old), (Slot::Ota(1), new)];
    let layout = Layout {
        ota: 2,
        factory: false,
    };
    let mut board = board(layout, Build::AntiRollback, Model::And, &images).with_efuse(Efuse {
        version: 0,
        bits: 16,
    });
    // The first boot burns at once.
    assert_eq!(version(board.boot()), "1.0.0");
    assert_eq!(board.efuse().version, 1);
    select(&mut board, 1, 2, State::Valid);
    assert_eq!(board.boot().expect("an app boots").app.secure_version, 3);
    assert_eq!(board.efuse().version, 3);
    select(&mut board, 0, 3, State::Valid);
    assert_eq!(
        version(board.boot()),
        "2.0.0",
        "the older app is not started any more"
    );
    board.burn(2);
    assert_eq!(board.efuse().version, 3);
    board.burn(17);
    assert_eq!(board.efuse().version, 3, "the field has 16 bits");
}

#[test]
fn a_table_without_otadata_boots_the_factory_app() {
    let partitions = [partition(
        PartitionType::APP,
        subtype::APP_FACTORY,
        0x10000,
        SLOT_LEN,
        "factory",
    )];
    let flash = Flash::new(Nor::new(
        Geometry::new(4, 4096, 1 << 20).expect("a geometry"),
        Model::And,
    ));
    let mut board = EspBoard::new(flash, Build::Rollback).expect("4 KiB sectors");
    board
        .provision(&table_of(&partitions), &[(Slot::Factory, &golden(V1))])
        .expect("it fits");
    assert_eq!(board.boot().expect("an app boots").slot, Slot::Factory);
    assert_eq!(board.records().expect("a table"), None);
}

#[test]
fn a_small_otadata_partition_is_a_reset_loop() {
    let partitions = [
        partition(
            PartitionType::DATA,
            subtype::DATA_OTA,
            0xd000,
            0x1000,
            "otadata",
        ),
        partition(
            PartitionType::APP,
            subtype::APP_OTA_0,
            0x10000,
            SLOT_LEN,
            "ota_0",
        ),
    ];
    let flash = Flash::new(Nor::new(
        Geometry::new(4, 4096, 1 << 20).expect("a geometry"),
        Model::And,
    ));
    let mut board = EspBoard::new(flash, Build::Rollback).expect("4 KiB sectors");
    board
        .provision(&table_of(&partitions), &[(Slot::Ota(0), &golden(V1))])
        .expect("it fits");
    assert_eq!(
        board.boot(),
        Err(BootError::OtadataTooSmall { size: 0x1000 })
    );
}

#[test]
fn a_gap_between_the_slots_shows_as_it_does_on_a_device() {
    let partitions = [
        partition(
            PartitionType::DATA,
            subtype::DATA_OTA,
            0xd000,
            0x2000,
            "otadata",
        ),
        partition(
            PartitionType::APP,
            subtype::APP_OTA_0,
            0x10000,
            SLOT_LEN,
            "ota_0",
        ),
        partition(
            PartitionType::APP,
            subtype::APP_OTA_0 + 2,
            0x30000,
            SLOT_LEN,
            "ota_2",
        ),
    ];
    let flash = Flash::new(Nor::new(
        Geometry::new(4, 4096, 1 << 20).expect("a geometry"),
        Model::And,
    ));
    let mut board = EspBoard::new(flash, Build::Plain).expect("4 KiB sectors");
    let images = [
        (Slot::Ota(0), &golden(V1)[..]),
        (Slot::Ota(2), &golden(V2)[..]),
    ];
    board
        .provision(&table_of(&partitions), &images)
        .expect("it fits");
    select(&mut board, 0, 3, State::Undefined);
    // Two slots are counted, so that number 3 selects the first one.
    assert_eq!(board.boot().expect("an app boots").slot, Slot::Ota(0));
    select(&mut board, 0, 2, State::Undefined);
    let booted = board.boot().expect("an app boots");
    assert_eq!((booted.selected, booted.slot), (Slot::Ota(1), Slot::Ota(0)));
}

#[test]
fn flashing_what_does_not_fit_is_refused() {
    let layout = Layout {
        ota: 2,
        factory: false,
    };
    let board = two_versions(Build::Plain, Model::And);
    let table = layout.table();
    let image = golden(V1);
    let error = board
        .provision(&table, &[(Slot::Factory, &image)])
        .expect_err("no such partition");
    assert_eq!(
        error,
        ProvisionError::NoPartition {
            slot: Slot::Factory
        }
    );
    let long = vec![0; SLOT_LEN as usize + 1];
    let error = board
        .provision(&table, &[(Slot::Ota(1), &long)])
        .expect_err("too long");
    assert_eq!(
        error,
        ProvisionError::TooLarge {
            slot: Slot::Ota(1),
            len: long.len(),
            size: SLOT_LEN
        }
    );
    let error = board.provision(&table[..64], &[]).expect_err("cut off");
    assert_eq!(error, ProvisionError::Table(BootTableError::NoEnd));

    let flash = Flash::new(Nor::new(
        Geometry::new(4, 2048, 1 << 20).expect("a geometry"),
        Model::And,
    ));
    assert_eq!(
        EspBoard::new(flash, Build::Plain)
            .expect_err("2 KiB sectors")
            .sector,
        2048
    );
}

#[test]
fn a_board_can_be_flashed_again() {
    let mut board = two_versions(Build::Rollback, Model::Once);
    assert_eq!(version(board.boot()), "1.0.0");
    let table = Layout {
        ota: 2,
        factory: false,
    }
    .table();
    board
        .provision(&table, &[(Slot::Ota(0), &golden(V2))])
        .expect("it fits");
    assert_eq!(
        board.records().expect("readable"),
        Some([Record::ERASED; 2])
    );
    assert_eq!(version(board.boot()), "2.0.0");
}

#[test]
fn the_boot_loader_reads_tables_as_the_reference_does() {
    let good = Layout {
        ota: 2,
        factory: true,
    }
    .table();
    let size = 1 << 20;
    let table = BootTable::parse(&good, size).expect("a table");
    assert_eq!(
        (
            table.ota_count,
            table.app(Slot::Ota(1)).map(|region| region.offset)
        ),
        (2, Some(0x30000))
    );
    assert_eq!(table.app(Slot::Ota(2)), None);

    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        BootTable::parse(&bytes, size)
    };
    let entries = 5;
    assert_eq!(with(&|table| table.fill(0xff)), Err(BootTableError::Empty));
    assert_eq!(
        with(&|table| table[33] = 0),
        Err(BootTableError::Magic {
            entry: 1,
            found: [0xaa, 0]
        })
    );
    assert_eq!(with(&|table| table[12] ^= 1), Err(BootTableError::Md5));
    let md5 = entries * 32;
    assert_eq!(
        with(&|table| table.copy_within(md5..md5 + 32, md5 + 32)),
        Err(BootTableError::SecondMd5)
    );
    assert_eq!(
        BootTable::parse(&good, 0x30000),
        Err(BootTableError::BeyondFlash { entry: 2 })
    );
    // No MD5 at all is fine, and so is a partition behind it, which nothing protects.
    assert_eq!(
        with(&|table| table[md5..md5 + 32].fill(0xff)).as_ref(),
        Ok(&table)
    );
    let behind = with(&|table| {
        table.copy_within(..32, md5 + 32);
        table[md5 + 32 + 4..md5 + 32 + 8].copy_from_slice(&0x9000_u32.to_le_bytes());
    });
    assert_eq!(
        behind
            .expect("accepted")
            .otadata
            .map(|region| region.offset),
        Some(0x9000)
    );
}

#[test]
fn every_good_golden_table_is_accepted() {
    let folder = golden_path("ptable");
    let mut seen = 0;
    for file in
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let bytes = std::fs::read(&path).expect("a table");
            let table = BootTable::parse(&bytes, 1 << 31);
            assert!(table.is_ok(), "{}: {table:?}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "no tables in {}", folder.display());
}

/// What the boot loader does to otadata is no safer than the reference, but with a good record beside the one that it rewrites, the board
/// boots whatever a cut leaves.
#[test]
fn a_power_cut_inside_the_boot_loader_leaves_a_board_that_boots() {
    let mut cuts = 0;
    for model in Model::ALL {
        for (state, expected) in [(State::New, "2.0.0"), (State::PendingVerify, "1.0.0")] {
            let mut board = two_versions(Build::Rollback, model);
            select(&mut board, 0, 1, State::Valid);
            select(&mut board, 1, 2, state);
            let before = board.flash().lock().fork();
            board.flash().lock().start_trace();
            assert_eq!(version(board.boot()), expected);
            let trace = board.flash().lock().take_trace();
            assert_eq!(trace.len(CutGrain::Word), 1 + 32 / 4);
            for cut in trace.cuts(CutGrain::Word, &[0, 1, 2, 3, 4, 5, 6, 7]) {
                *board.flash().lock() = before.fork();
                board.flash().lock().arm(cut);
                assert_eq!(
                    board.boot(),
                    Err(BootError::Flash(FlashError::PowerLost)),
                    "{cut}"
                );
                let report = board.flash().lock().last_cut().expect("it happened");
                for _ in 0..3 {
                    assert!(board.boot().is_ok(), "{model:?}, {state}: {report}");
                }
                cuts += 1;
            }
        }
    }
    assert_eq!(cuts, 3 * 2 * 9 * 9);
}
