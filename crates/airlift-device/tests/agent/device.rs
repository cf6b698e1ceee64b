//! A device with two slots and two partitions, which restarts as its boot loader wants it.

use airlift_device::agent::{
    Agent, AgentError, Buffers, Ended, FileKey, Route, SelfTest, Setup, Source, StreamSource,
};
use airlift_device::download::aws_stream::{self, Cbor, Encoding};
use airlift_device::flash::Region;
use airlift_device::install::EspOtadata;
use airlift_device::notify::aws_jobs::{AfrOtaParser, Jobs, Settings, Version};
use airlift_device::partition::{JournalRestore, Partition};
use airlift_device::set::{Destination, SetRestore};
use airlift_device::verify::{EcdsaP256, EspApp};
use airlift_device::{Layout, Retry, Updater};
use airlift_formats::aws::{base64, job_document::Protocol};
use airlift_formats::esp::app_image::{AppImageBuilder, ChipId};
use airlift_formats::esp::otadata::{BootLoader, Build, Record, Slot, State};
use airlift_sim::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cloud::{Cloud, Cut, STREAM, THING};

type Esp = SimFlash<4, 4096>;

const OTADATA: Region = Region::new(0, 0x2000);
const JOURNAL: Region = Region::new(0x2000, 0x2000);
pub(crate) const SLOTS: [Region; 2] =
    [Region::new(0x10000, 0x10000), Region::new(0x20000, 0x10000)];
/// Each partition, the place for its new content, and the place for its old one.
pub(crate) const DATA: Region = Region::new(0x30000, 0x2000);
pub(crate) const MODEL: Region = Region::new(0x32000, 0x3000);
const ROUTES: [Route; 2] = [
    Route {
        file: FileKey::Id(7),
        to: partition(DATA, 0x38000, 0x3A000),
    },
    Route {
        file: FileKey::Type(9),
        to: partition(MODEL, 0x3C000, 0x3F000),
    },
];

const fn partition(region: Region, room: u32, save: u32) -> Destination {
    Destination::Partition {
        partition: Partition::data(region),
        room: Region::new(room, region.len),
        save: Region::new(save, region.len),
    }
}

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

/// A signature as AWS has it in documents.
pub(crate) fn signature(bytes: &[u8]) -> String {
    let signature: Signature = key().sign_prehash(&Sha256::digest(bytes)).unwrap();
    let mut text = Vec::new();
    base64::encode(signature.to_der().as_bytes().iter().copied(), &mut text);
    String::from_utf8(text).unwrap()
}

/// An app image.
pub(crate) fn app(version: &str, length: usize) -> Vec<u8> {
    AppImageBuilder::new(ChipId::ESP32)
        .version(version)
        .project("lamp")
        .payload(&vec![0x5A; length])
        .build()
        .unwrap()
}

/// One file of a document.
pub(crate) fn file(id: u8, bytes: &[u8]) -> Value {
    json!({
        "filepath": format!("file-{id}"), "filesize": bytes.len(), "fileid": id, "certfile": "key", "fileType": id + 2,
        "update_data_url": null, "auth_scheme": null, "sig-sha256-ecdsa": signature(bytes),
    })
}

pub(crate) fn document(files: &[Value]) -> Value {
    json!({"afr_ota": {"protocols": ["MQTT"], "streamname": STREAM, "files": files}})
}

/// A device, its flash, and what it is told to be.
pub(crate) struct Device {
    pub(crate) cloud: Cloud,
    pub(crate) flash: Esp,
    pub(crate) running: u8,
    pub(crate) version: Version,
    /// What the self-test says.
    pub(crate) healthy: Result<(), u8>,
    pub(crate) stream: aws_stream::Settings,
    pub(crate) jobs: Settings,
    pub(crate) window: usize,
}

struct Health(Result<(), u8>);

impl SelfTest for Health {
    async fn self_test(&mut self) -> Result<(), u8> {
        self.0
    }
}

pub(crate) const RETRY: Retry = Retry {
    first: 1_000,
    longest: 8_000,
    limit: 12,
};

impl Device {
    /// Runs slot 0.
    pub(crate) fn new() -> Self {
        let mut nor = Nor::new(Geometry::new(4, 4096, 0x42000).unwrap(), Model::Once);
        let selected = Record::new(1, State::Valid).emit();
        nor.overwrite(OTADATA.offset, &selected).unwrap();
        nor.overwrite(SLOTS[0].offset, &app("1", 3000)).unwrap();
        nor.overwrite(DATA.offset, &[0x11; 0x2000]).unwrap();
        nor.overwrite(MODEL.offset, &[0x22; 0x3000]).unwrap();
        Self {
            cloud: Cloud::default(),
            flash: Flash::new(nor).typed().unwrap(),
            running: 0,
            version: Version {
                major: 1,
                minor: 0,
                build: 0,
            },
            healthy: Ok(()),
            stream: aws_stream::Settings {
                block_size: 512,
                retry: RETRY,
                ..aws_stream::Settings::default()
            },
            jobs: Settings {
                retry: RETRY,
                ..Settings::default()
            },
            window: 4 * 512,
        }
    }

    /// One boot, with files by a stream in CBOR.
    pub(crate) fn boot(&self) -> Result<Ended, AgentError<FlashError, Cut>> {
        self.boot_with::<Cbor>()
    }

    pub(crate) fn boot_with<E: Encoding>(&self) -> Result<Ended, AgentError<FlashError, Cut>> {
        let mut window = vec![0; self.window];
        let source = StreamSource::<E>::new(self.stream, &mut window);
        self.boot_from(source, Protocol::Mqtt)
    }

    pub(crate) fn boot_from<S: Source>(
        &self,
        mut source: S,
        protocol: Protocol,
    ) -> Result<Ended, AgentError<FlashError, Cut>> {
        let public = key().verifying_key().to_encoded_point(false);
        let keys = [public.as_bytes()];
        let verifier = EcdsaP256::new(&keys).unwrap();
        let (mut message, mut document, mut flash) = ([0; 4096], [0; 2048], [0; 512]);
        let jobs = Jobs::new(THING, self.jobs).unwrap();
        let setup = Setup {
            check: EspApp::new(ChipId::ESP32),
            verifier: &verifier,
            version: self.version,
            routes: &ROUTES,
            progress: 4,
        };
        let buffers = Buffers {
            message: &mut message,
            document: &mut document,
            flash: &mut flash,
        };
        let mut agent = Agent::new(jobs, AfrOtaParser(protocol), setup, buffers);
        let mut link = self.cloud.clone();
        let mechanisms = &mut (JournalRestore, SetRestore(()));
        block_on(async {
            let mut updater = Updater::recover(
                self.flash.clone(),
                EspOtadata::new(OTADATA, 2),
                Layout::new(&SLOTS, JOURNAL),
                Some(self.running),
                mechanisms,
                &mut [0; 512],
            )
            .await
            .map_err(AgentError::Engine)?;
            agent.subscribe(&mut link).await.map_err(AgentError::Link)?;
            let health = &mut Health(self.healthy);
            agent
                .run(&mut updater, &mut link, &mut source, health, mechanisms)
                .await
        })
    }

    /// A restart: the boot loader of ESP-IDF decides what runs.
    pub(crate) fn restart(&mut self) {
        let mut nor = self.flash.flash().lock();
        let mut bytes = [[0; 32]; 2];
        for (sector, bytes) in [0, 0x1000].into_iter().zip(&mut bytes) {
            nor.read(sector, bytes).unwrap();
        }
        let boot_loader = BootLoader::new(Build::Rollback, 2);
        let boot = boot_loader.boot(&bytes.each_ref().map(Record::parse), &mut |_| true);
        for rewrite in boot.rewrites() {
            let offset = rewrite.offset();
            nor.erase(offset, offset + 0x1000).unwrap();
            nor.write(offset, &rewrite.record.emit()).unwrap();
        }
        let Some(Slot::Ota(slot)) = boot.loaded else {
            panic!("nothing boots");
        };
        self.running = slot;
    }

    pub(crate) fn content(&self, region: Region, len: usize) -> Vec<u8> {
        self.flash.flash().lock().cells()[region.offset as usize..][..len].to_vec()
    }
}
