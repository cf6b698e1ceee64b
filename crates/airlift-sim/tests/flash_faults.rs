//! Errors without a power cut, and a flash that is a part of another one.

use airlift_sim::flash::{
    Cut, CutKind, Fault, FaultExtent, Flash, FlashError, Geometry, Model, Nor, block_on,
};
use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

#[test]
fn an_error_reaches_as_far_as_it_should() {
    let failed = |offset| Err(FlashError::Failed { offset });
    for (extent, then, there, later) in [
        (FaultExtent::Once, Ok(()), Ok(()), Ok(())),
        (FaultExtent::UntilReset, failed(4), failed(4096), Ok(())),
        (FaultExtent::Sector, failed(4), Ok(()), failed(4)),
    ] {
        for done in [false, true] {
            let mut nor = Nor::new(Geometry::new(4, 4096, 8192).unwrap(), Model::And);
            nor.fail(Fault {
                at: 1,
                extent,
                done,
            });
            assert_eq!(nor.write(0, &[0; 4]), Ok(()));
            assert_eq!(nor.write(4, &[0; 4]), failed(4), "{extent:?}");
            assert_eq!(nor.cells()[4] == 0, done);
            assert_eq!(nor.write(4, &[0; 4]), then);
            assert_eq!(nor.erase(4096, 8192), there);
            nor.reset();
            assert_eq!(nor.write(4, &[0; 4]), later);
        }
    }
}

#[test]
fn a_window_is_a_flash_of_its_own_that_loses_power_with_the_other() {
    let nor = Nor::new(Geometry::new(4, 4096, 3 * 4096).unwrap(), Model::And);
    let flash = Flash::new(nor).typed::<4, 4096>().unwrap();
    let mut window = flash.window(4096, 4096);
    block_on(async {
        assert_eq!(window.capacity(), 4096);
        window.write(0, &[7; 8]).await.unwrap();
        assert_eq!(flash.flash().lock().cells()[4096..4104], [7; 8]);
        let mut bytes = [0; 4];
        window.read(4, &mut bytes).await.unwrap();
        assert_eq!(bytes, [7; 4]);
        window.erase(0, 4096).await.unwrap();
        assert_eq!(flash.flash().lock().cells()[4096..4104], [0xFF; 8]);
        for (offset, len) in [(4096, 4), (4092, 8)] {
            let outside = FlashError::OutOfBounds {
                offset,
                len,
                size: 4096,
            };
            assert_eq!(window.write(offset, &vec![0; len]).await, Err(outside));
        }
        assert!(window.erase(0, 8192).await.is_err());
        flash.flash().lock().arm(Cut::at_word(0, CutKind::Clean));
        assert_eq!(window.write(0, &[0; 4]).await, Err(FlashError::PowerLost));
        assert!(!flash.flash().lock().has_power());
    });
}
