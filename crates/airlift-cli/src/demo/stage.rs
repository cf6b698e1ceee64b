//! The server of the demo: real, in this process, on a free port, with a temporary folder.

use std::path::{Path, PathBuf};

use airlift_formats::esp::app_image::ChipId;
use airlift_server::{Config, RunningServer, Server};
use anyhow::Context;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::api::{Api, KnownDevice, Place, Published, Upload};
use crate::firmware::{self, SAMPLE_SIZE};
use crate::output::{self, Look};
use crate::signing::Key;
use crate::stop::Stop;

pub(super) const ORGANIZATION: &str = "dev";
pub(super) const PROJECT: &str = "lotus";
pub(super) const KEY: &str = "sht30_d1_mini";

/// What the demo takes place on.
pub(super) struct Stage {
    runtime: Runtime,
    server: RunningServer,
    url: String,
    folder: TempDir,
    api: Api,
    token: String,
    seed: u64,
    /// Removes the folder when the demo is told to stop half way.
    cleanup: JoinHandle<()>,
}

impl Stage {
    /// Starts the server, makes organization, project and a token for it, and signs in with that.
    pub(super) fn set(seed: u64) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("airlift-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let runtime = Runtime::new().context("cannot start threads")?;
        let mut config = Config::new(folder.path().join("server"), ([127, 0, 0, 1], 0).into());
        config.mqtt.plain = Some(([127, 0, 0, 1], 0).into());
        config.mqtt.anonymous = Some((ORGANIZATION.to_owned(), PROJECT.to_owned()));
        let server = runtime.block_on(Server::start(config))?;
        let url = format!("http://{}", server.local_addr());
        let administrator = server
            .admin_token()
            .context("a server with a new data folder gave no token")?;
        let (api, token) = runtime.block_on(async {
            let administrator = Api::new(&url, &administrator)?;
            administrator.create_organization(ORGANIZATION).await?;
            administrator.create_project(ORGANIZATION, PROJECT).await?;
            let token = administrator.create_token(ORGANIZATION, "demo").await?;
            anyhow::Ok((Api::new(&url, &token)?, token))
        })?;
        let cleanup = runtime.spawn(remove_when_stopped(folder.path().to_owned()));
        Ok(Self {
            cleanup,
            runtime,
            server,
            url,
            folder,
            api,
            token,
            seed,
        })
    }

    pub(super) fn server(&self) -> &RunningServer {
        &self.server
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file of a version's image.
    fn image_file(&self, version: &str) -> PathBuf {
        self.folder.path().join(format!("firmware-{version}.bin"))
    }

    /// Builds and publishes a version, through the HTTP API.
    pub(super) fn publish(&self, version: &str) -> anyhow::Result<Published> {
        let image = firmware::sample(ChipId::ESP32, PROJECT, version, SAMPLE_SIZE, self.seed)?;
        write(&self.image_file(version), &image)?;
        self.publish_for(KEY, version)
    }

    /// Publishes a version that is there already for the devices with another key.
    pub(super) fn publish_for(&self, key: &str, version: &str) -> anyhow::Result<Published> {
        self.upload(key, &self.image_file(version), version, None)
    }

    /// Publishes a version that is there already for one device, with a signature.
    pub(super) fn publish_signed_for(
        &self,
        node: &str,
        version: &str,
        key: &Key,
    ) -> anyhow::Result<Published> {
        let file = self.image_file(version);
        let signature = key.sign(&file)?.signature;
        let place = Place {
            node: Some(node.to_owned()),
            ..place_of(KEY)
        };
        self.upload_to(&place, &file, version, None, Some(&signature))
    }

    /// Publishes data for a partition.
    pub(super) fn publish_data(
        &self,
        key: &str,
        partition: &str,
        version: &str,
        bytes: &[u8],
    ) -> anyhow::Result<Published> {
        let file = self
            .folder
            .path()
            .join(format!("{partition}-{version}.bin"));
        write(&file, bytes)?;
        self.upload(key, &file, version, Some(partition))
    }

    /// Publishes a Matter OTA image.
    pub(super) fn publish_image(
        &self,
        key: &str,
        version: &str,
        image: &[u8],
    ) -> anyhow::Result<Published> {
        let file = self.folder.path().join(format!("{key}-{version}.ota"));
        write(&file, image)?;
        self.upload(key, &file, version, None)
    }

    fn upload(
        &self,
        key: &str,
        file: &Path,
        version: &str,
        partition: Option<&str>,
    ) -> anyhow::Result<Published> {
        self.upload_to(&place_of(key), file, version, partition, None)
    }

    fn upload_to(
        &self,
        place: &Place,
        file: &Path,
        version: &str,
        partition: Option<&str>,
        signature: Option<&str>,
    ) -> anyhow::Result<Published> {
        let size = std::fs::metadata(file).map(|file| file.len());
        let upload = Upload {
            file,
            size: size.with_context(|| format!("{}: cannot read", file.display()))?,
            version: Some(version),
            partition,
            file_system: None,
            signature,
            force: false,
            hold: false,
            allow_downgrade: false,
        };
        self.runtime
            .block_on(self.api.publish(place, &upload, |_| {}))
    }

    /// The bytes of a version that was published.
    pub(super) fn image(&self, version: &str) -> anyhow::Result<Vec<u8>> {
        let file = self.image_file(version);
        std::fs::read(&file).with_context(|| format!("{}: cannot read", file.display()))
    }

    /// What the server knows of a device.
    pub(super) fn known(&self, node: &str) -> anyhow::Result<KnownDevice> {
        self.runtime.block_on(self.api.device(ORGANIZATION, node))
    }

    /// Waits for Ctrl-C.
    pub(super) fn keep(&mut self, look: Look, json: bool) -> anyhow::Result<()> {
        self.cleanup.abort();
        let mut stop = self.runtime.block_on(async {
            // Stopped means aborted here.
            let _ = (&mut self.cleanup).await;
            Stop::listen().context("cannot listen for signals")
        })?;
        let url = &self.url;
        let folder = self.folder.path().display();
        let text = format!(
            "\nThe server keeps running at {}\n  \
               token    {}\n  \
               devices  {folder}/*.flash\n\n\
             Try, in another terminal:\n  {}\n  {}\n  {}\n\n\
             Press Ctrl-C to stop it; the folder is removed then.\n",
            look.name(url),
            look.warn(&self.token),
            look.name(&format!("curl -H 'Authorization: Bearer {}' {url}/api/v1/organizations/{ORGANIZATION}/devices", self.token)),
            look.name(&format!("airlift device run --flash my.flash --server {url} --org {ORGANIZATION} --project {PROJECT} --node esp32-85ea2b --key {KEY} --once")),
            look.name("airlift device show --flash my.flash"),
        );
        if json {
            eprint!("{text}");
        } else {
            output::print(&text);
        }
        self.runtime.block_on(stop.wait());
        Ok(())
    }

    /// Stops the server and removes the folder.
    pub(super) fn strike(self) {
        self.cleanup.abort();
        self.runtime.block_on(self.server.shutdown());
    }
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(file, bytes).with_context(|| format!("{}: cannot write", file.display()))
}

/// Waits for Ctrl-C and ends the program, as it would end without this, but for the folder.
async fn remove_when_stopped(folder: PathBuf) {
    /// What shells report of a program that Ctrl-C ended.
    const INTERRUPTED: i32 = 130;
    let Ok(mut stop) = Stop::listen() else {
        return;
    };
    stop.wait().await;
    let _ = std::fs::remove_dir_all(folder);
    std::process::exit(INTERRUPTED);
}

/// The devices with this key.
fn place_of(key: &str) -> Place {
    Place {
        organization: ORGANIZATION.to_owned(),
        project: Some(PROJECT.to_owned()),
        key: key.to_owned(),
        node: None,
    }
}
