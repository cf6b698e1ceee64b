#![no_std]
#![no_main]
#![allow(missing_docs)]
use core::{future::Future, pin::pin, task::{Context, Poll, Waker}};
use airlift_device::{flash::Region, install::EspOtadata, verify::AnyImage, Layout, Offer, Status, Updater};
use airlift_size::{flash::Flash, port};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop { if let Poll::Ready(v) = future.as_mut().poll(&mut context) { return v; } }
}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
pub extern "C" fn start() -> ! {
    let ok = block_on(run());
    port::put(u32::from(ok.is_ok()));
    loop { core::hint::spin_loop(); }
}
async fn run() -> Result<(), ()> {
    let slots = [Region::new(0x10000, 0x100000), Region::new(0x110000, 0x100000)];
    let layout = Layout { slots: &slots, journal: Region::new(0xC000, 0x2000) };
    let mut u = Updater::start(Flash, EspOtadata::new(Region::new(0xA000, 0x2000), 2), layout, Some(port::get() as u8)).await.map_err(|_| ())?;
    match u.status() {
        Status::OnTrial { .. } => { if port::get() == 0 { u.confirm().await.map_err(|_| ())?; } else { u.reject(3).await.map_err(|_| ())?; } }
        Status::Staged { .. } => { u.activate().await.map_err(|_| ())?; }
        _ => {
            let mut sha256 = [0; 32];
            for b in &mut sha256 { *b = port::get() as u8; }
            let mut buffer = [0; 512];
            let mut d = u.begin(Offer { length: port::get(), sha256 }, AnyImage, &mut buffer).await.map_err(|_| ())?;
            let mut at = d.offset();
            while at < port::get() {
                let mut chunk = [0; 64];
                for b in &mut chunk { *b = port::get() as u8; }
                d.write(&chunk).await.map_err(|_| ())?;
                at += 64;
            }
            d.finish().await.map_err(|_| ())?;
            u.activate().await.map_err(|_| ())?;
        }
    }
    u.reported().await.map_err(|_| ())
}
