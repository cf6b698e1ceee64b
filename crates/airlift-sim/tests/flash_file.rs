//! A flash in a file: a raw dump that is as real flash would be at every instant.

use std::fs;
use std::process::{Command, Stdio};

use airlift_sim::flash::{Cut, CutKind, FlashError, FlashFileError, Geometry, Model, Nor};

fn geometry() -> Geometry {
    Geometry::new(4, 4096, 16384).expect("a geometry")
}

#[test]
fn the_file_is_the_plain_content_after_every_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let mut nor = Nor::create_file(&path, geometry()).expect("a new file");
    assert_eq!(fs::read(&path).expect("the dump"), vec![0xff; 16384]);

    nor.write(4096, b"eightbyt").expect("a blank sector");
    assert_eq!(fs::read(&path).expect("the dump")[4096..4104], *b"eightbyt");
    nor.overwrite(10, b"rot").expect("inside");
    assert_eq!(fs::read(&path).expect("the dump"), nor.cells());
    nor.erase(4096, 8192).expect("a sector");
    assert_eq!(fs::read(&path).expect("the dump"), nor.cells());
    nor.sync().expect("a disk");
}

#[test]
fn a_torn_operation_is_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let mut nor = Nor::create_file(&path, geometry()).expect("a new file");
    nor.arm(Cut::at_word(1, CutKind::TornProgram { seed: 1 }));
    assert_eq!(nor.write(0, &[0; 12]), Err(FlashError::PowerLost));
    let dump = fs::read(&path).expect("the dump");
    assert_eq!(dump, nor.cells());
    assert_eq!(
        dump[..5],
        [0; 5],
        "the first word and at least a byte of the second"
    );
    assert_eq!(
        dump[7..12],
        [0xff; 5],
        "not all of the second, and nothing of the third"
    );

    nor.power_on();
    nor.write(8192, &[0; 4096]).expect("a blank sector");
    nor.arm(Cut::at_word(0, CutKind::TornErase { seed: 2 }));
    assert_eq!(nor.erase(8192, 12288), Err(FlashError::PowerLost));
    let dump = fs::read(&path).expect("the dump");
    assert_eq!(dump, nor.cells());
    assert!(dump[8192..12288].contains(&0) && dump[8192..12288].contains(&0xff));
}

#[test]
fn a_reopened_file_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let mut nor = Nor::create_file(&path, geometry()).expect("a new file");
    nor.write(0, &[0x0f; 4]).expect("a blank word");
    drop(nor);

    let mut nor = Nor::open_file(&path, geometry()).expect("the file");
    assert_eq!(nor.model(), Model::And);
    let state = nor.word_state(0).expect("inside");
    assert!(state.programmed);
    nor.write(0, &[0x3c; 4]).expect("ANDs");
    assert_eq!(nor.statistics().words_reprogrammed, 1);
    drop(nor);
    assert_eq!(
        fs::read(&path).expect("the dump")[..8],
        [12, 12, 12, 12, 255, 255, 255, 255]
    );
}

#[test]
fn files_that_cannot_be_this_flash_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    assert!(matches!(
        Nor::open_file(&path, geometry()),
        Err(FlashFileError::Io { .. })
    ));
    fs::write(&path, vec![0xff; 16383]).expect("a file");
    let error = Nor::open_file(&path, geometry()).expect_err("too short");
    assert!(
        matches!(
            error,
            FlashFileError::Size {
                expected: 16384,
                actual: 16383,
                ..
            }
        ),
        "{error}"
    );
    let error = Nor::create_file(&path, geometry()).expect_err("never overwritten");
    assert!(error.to_string().contains("flash.bin"), "{error}");
    assert!(matches!(
        Nor::open_file(folder.path(), geometry()),
        Err(FlashFileError::Io { .. })
    ));
}

#[test]
fn two_boards_cannot_share_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    let first = Nor::create_file(&path, geometry()).expect("a new file");
    let error = Nor::open_file(&path, geometry()).expect_err("in use");
    assert!(matches!(error, FlashFileError::InUse { .. }), "{error}");
    drop(first);
    assert!(Nor::open_file(&path, geometry()).is_ok());
}

#[test]
fn a_dump_loads_into_any_model() {
    let mut dump = vec![0xff; 4096];
    dump[5] = 0;
    let mut nor = Nor::from_image(geometry(), Model::Once, &dump).expect("it fits");
    assert_eq!(nor.cells()[..4096], dump);
    assert_eq!(
        nor.write(4, &[0; 4]),
        Err(FlashError::AlreadyProgrammed { offset: 4 })
    );
    assert_eq!(nor.write(0, &[0; 4]), Ok(()));
    let error = Nor::from_image(geometry(), Model::Once, &[0; 16385]).expect_err("too long");
    assert_eq!(
        error,
        FlashError::OutOfBounds {
            offset: 0,
            len: 16385,
            size: 16384
        }
    );
}

/// Set for the process that is to be killed: the flash file that it writes.
const VICTIM: &str = "AIRLIFT_TEST_FLASH_FILE";
const CALL: usize = 64;

fn call(number: usize) -> [u8; CALL] {
    [(number % 251) as u8; CALL]
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_nothing_else() {
    let geometry = Geometry::new(4, 4096, 1 << 20).expect("a geometry");
    if let Some(path) = std::env::var_os(VICTIM) {
        let mut nor = Nor::open_file(path.as_ref(), geometry).expect("the parent's file");
        for number in 0..(1 << 20) / CALL {
            nor.write((number * CALL) as u32, &call(number))
                .expect("blank");
        }
        // Wait for the end without writing more.
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("flash.bin");
    drop(Nor::create_file(&path, geometry).expect("a new file"));
    let mut victim = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "a_killed_process_leaves_what_it_wrote_and_nothing_else",
        ])
        .env(VICTIM, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let written = || fs::read(&path).expect("the dump")[100 * CALL] != 0xff;
    while !written() && victim.try_wait().expect("its state").is_none() {
        std::thread::yield_now();
    }
    victim.kill().expect("it lives");
    victim.wait().expect("it is dead");

    let nor = Nor::open_file(&path, geometry).expect("nobody holds it any more");
    let calls: Vec<&[u8]> = nor.cells().chunks(CALL).collect();
    let done = calls
        .iter()
        .enumerate()
        .take_while(|&(number, bytes)| *bytes == call(number))
        .count();
    assert!(done > 100, "only {done} calls are in the file");
    assert!(
        calls[done..].concat().iter().all(|&cell| cell == 0xff),
        "behind call {done} something is written"
    );
}
