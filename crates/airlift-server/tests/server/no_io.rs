//! An update check that ends in "no update" needs neither the disk nor the database.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::atomic::Ordering;

use airlift_formats::esp::app_image::ChipId;

use crate::full_disk::watched;
use crate::harness::TestServer;
use crate::images::{esp32, md5_hex};

#[tokio::test]
async fn checks_and_warm_downloads_go_on_without_store_and_database() {
    let (store, parts) = watched();
    let server = TestServer::start_with(|_| {}, parts).await;
    let image = esp32(ChipId::ESP32, "1.0.0", 1);
    assert_eq!(
        server.publish("project=lotus&key=k", &image).await.status,
        201
    );
    assert_eq!(server.check_in("k", &[]).await.status(), 200);
    let calls = store.calls.load(Ordering::Relaxed);

    destroy_database(&server);
    assert_eq!(
        server.get("/dev/projects").await.code(),
        "internal",
        "the database is gone"
    );

    let md5 = md5_hex(&image);
    for round in 0..50 {
        let node = format!("/ota_update/dev/lotus/n{round}");
        let up_to_date = server
            .http
            .get(server.url(&format!("{node}/k")))
            .header("x-ESP32-sketch-md5", &md5);
        assert_eq!(up_to_date.send().await.unwrap().status(), 304);
        let no_release = server
            .http
            .get(server.url(&format!("{node}/other")))
            .send()
            .await
            .unwrap();
        assert_eq!(no_release.status(), 304);
        let head = server
            .http
            .head(server.url(&format!("{node}/k")))
            .send()
            .await
            .unwrap();
        assert_eq!(head.status(), 200);
        let download = server
            .http
            .get(server.url(&format!("{node}/k")))
            .send()
            .await
            .unwrap();
        assert_eq!(download.bytes().await.unwrap(), image);
    }
    assert_eq!(
        store.calls.load(Ordering::Relaxed),
        calls,
        "the object store was asked"
    );
    let devices = server.get("/dev/devices").await.body["devices"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(devices, 50, "all are remembered until the database is back");
}

/// Fills all of the database's files with nonsense, in place: they are mapped, so they may not shrink.
pub(crate) fn destroy_database(server: &TestServer) {
    for name in ["airlift.db", "airlift.db-wal", "airlift.db-shm"] {
        let path = server.data.path().join(name);
        let length = std::fs::metadata(&path).unwrap().len();
        let mut file = std::fs::File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&vec![0xA5; usize::try_from(length).unwrap()])
            .unwrap();
    }
}
