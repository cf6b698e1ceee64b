//! The flash as the drivers' traits see it.

use airlift_sim::flash::{
    Cut, CutKind, Flash, FlashError, Geometry, GeometryMismatch, Model, Nor, SUPPORTED_GEOMETRIES,
    block_on,
};
use airlift_sim::with_geometry;
use embedded_storage::nor_flash::{NorFlashError, NorFlashErrorKind};

fn flash(word: usize, sector: usize) -> Flash {
    Flash::new(Nor::new(
        Geometry::new(word, sector, 4 * sector).expect("a geometry"),
        Model::Ecc,
    ))
}

/// The contract of `embedded_storage::nor_flash`, in the words of its documentation.
fn keeps_the_blocking_contract<F: embedded_storage::nor_flash::NorFlash>(
    mut flash: F,
    word: usize,
    sector: usize,
) {
    assert_eq!(
        (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE),
        (1, word, sector)
    );
    assert_eq!(flash.capacity(), 4 * sector);
    let at = sector as u32;
    let data: Vec<u8> = (0..2 * word).map(|byte| byte as u8).collect();
    assert!(flash.write(at, &data).is_ok());
    let mut back = vec![0; 2 * word - 1];
    assert!(flash.read(at + 1, &mut back).is_ok());
    assert_eq!(back, data[1..]);
    assert!(flash.erase(at, 2 * at).is_ok());
    assert!(flash.read(at, &mut back).is_ok());
    assert!(back.iter().all(|&byte| byte == 0xff));

    let kind = |result: Result<(), F::Error>| result.err().map(|error| error.kind());
    let (not_aligned, out_of_bounds) = (
        Some(NorFlashErrorKind::NotAligned),
        Some(NorFlashErrorKind::OutOfBounds),
    );
    assert_eq!(kind(flash.write(1, &data)), not_aligned);
    assert_eq!(kind(flash.write(0, &data[1..])), not_aligned);
    assert_eq!(kind(flash.erase(word as u32, at)), not_aligned);
    assert_eq!(kind(flash.erase(0, at + word as u32)), not_aligned);
    assert_eq!(kind(flash.write(4 * at, &data)), out_of_bounds);
    assert_eq!(kind(flash.read(4 * at - 1, &mut back)), out_of_bounds);
    assert_eq!(kind(flash.read(u32::MAX, &mut back)), out_of_bounds);
    assert_eq!(kind(flash.erase(3 * at, 5 * at)), out_of_bounds);
    assert_eq!(kind(flash.erase(at, 0)), out_of_bounds);
    assert_eq!(kind(flash.erase(at, at)), None);
    assert_eq!(kind(flash.write(4 * at, &[])), None);
}

async fn keeps_the_async_contract<F: embedded_storage_async::nor_flash::NorFlash>(
    mut flash: F,
) -> Result<(), F::Error> {
    let data = vec![0x5a; 2 * F::WRITE_SIZE];
    let mut back = vec![0; data.len()];
    flash.write(0, &data).await?;
    flash.read(0, &mut back).await?;
    assert_eq!(back, data);
    flash.erase(0, F::ERASE_SIZE as u32).await?;
    flash.read(0, &mut back).await?;
    assert_eq!(back, vec![0xff; data.len()]);
    Ok(())
}

#[test]
fn every_supported_geometry_keeps_the_contract() {
    for &(word, sector) in SUPPORTED_GEOMETRIES {
        let flash = flash(word, sector);
        with_geometry!(&flash, |typed| keeps_the_blocking_contract(
            typed, word, sector
        ))
        .expect("supported");
        let result = with_geometry!(&flash, |typed| block_on(keeps_the_async_contract(typed)))
            .expect("supported");
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn another_geometry_is_an_error_and_not_a_panic() {
    let mismatch = GeometryMismatch {
        word: 16,
        sector: 65536,
    };
    let flash = flash(16, 65536);
    assert_eq!(with_geometry!(&flash, |typed| drop(typed)), Err(mismatch));
    assert_eq!(flash.typed::<4, 4096>().err(), Some(mismatch));
    assert!(flash.typed::<16, 65536>().is_ok());
}

#[test]
fn a_test_cuts_the_power_of_a_flash_that_a_board_owns() {
    let flash = flash(4, 4096);
    let owned = flash.typed::<4, 4096>().expect("its geometry");
    flash.lock().arm(Cut::at_word(1, CutKind::Clean));
    assert_eq!(
        block_on(keeps_the_async_contract(owned)),
        Err(FlashError::PowerLost)
    );
    assert_eq!(FlashError::PowerLost.kind(), NorFlashErrorKind::Other);
    flash.lock().power_on();
    assert_eq!(
        flash.lock().cells()[..8],
        [0x5a, 0x5a, 0x5a, 0x5a, 0xff, 0xff, 0xff, 0xff]
    );
}
