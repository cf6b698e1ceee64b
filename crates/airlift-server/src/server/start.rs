//! From settings to a running server and back.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper_util::service::TowerToHyperService;
use object_store::ObjectStore;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::connection::{self, Front};
use super::lifetime::Phase;
use super::mqtt::{self, Sockets};
use crate::admin::{self, Api, Tokens};
use crate::catalog::Catalog;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::doors::aws_mqtt::AwsMqtt;
use crate::doors::esp_http::EspHttp;
use crate::fleet::registry::Registry;
use crate::fleet::writer::Writer;
use crate::identity::authority::LazyAuthority;
use crate::jobs::AwsService;
use crate::rollout::Rollouts;
use crate::store::cache::ImageCache;
use crate::store::database::Database;
use crate::store::objects::{self, Objects};
use crate::store::rollouts::LogError;

/// The update server, before it runs.
#[derive(Debug)]
pub struct Server;

/// Parts of a server that can be handed in instead of the usual ones.
#[derive(Clone)]
#[non_exhaustive]
pub struct Parts {
    /// Where the time comes from. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// Where image bytes are kept. Default: files in the data folder.
    pub objects: Option<Arc<dyn ObjectStore>>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            objects: None,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder cannot be made or read.
    #[error("data folder {path}: {source}; choose a folder that this user can write to")]
    DataFolder {
        /// What was tried to reach.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another server runs on the same data folder.
    #[error(
        "data folder {path} is in use by another running server; stop that one or choose another folder"
    )]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Clients without proof of who they are were to be let in where that is not possible.
    #[error("anonymous MQTT clients cannot be let in: {message}")]
    Anonymous {
        /// Why not.
        message: String,
    },
    /// The certificate authority for devices cannot be used.
    #[error("certificate authority for devices: {message}")]
    Authority {
        /// Why not.
        message: String,
    },
    /// The database cannot be opened, or its tables cannot be brought up to date.
    #[error("database {path}: {source}")]
    Database {
        /// The database file.
        path: PathBuf,
        /// Why not.
        source: sqlx::Error,
    },
    /// The database holds something that this version cannot read.
    #[error("database {path}: {message}; was it written by a newer version?")]
    Content {
        /// The database file.
        path: PathBuf,
        /// What it is.
        message: String,
    },
    /// The object store cannot be opened.
    #[error("object store: {0}")]
    Objects(#[source] object_store::Error),
}

/// A server that runs. Dropping it without [`shutdown`](Self::shutdown) is like a crash: nothing published is lost, the
/// last second of device check-ins may be.
pub struct RunningServer {
    local_addr: SocketAddr,
    mqtt_addr: Option<SocketAddr>,
    mqtts_addr: Option<SocketAddr>,
    admin_token: Option<String>,
    phase: watch::Sender<Phase>,
    accepting: JoinHandle<()>,
    accepting_mqtt: Vec<JoinHandle<()>>,
    keeping_up: JoinHandle<()>,
    rolling_out: JoinHandle<()>,
    rollouts: Arc<Rollouts>,
    writing: JoinHandle<()>,
    writer: Arc<Writer>,
    database: Database,
    /// Held until the end.
    _lock: Arc<File>,
}

impl Server {
    /// Starts a server: makes the data folder if need be, opens it, listens.
    ///
    /// # Errors
    /// When the folder, the database or the address cannot be used; see [`StartError`].
    pub async fn start(config: Config) -> Result<RunningServer, StartError> {
        Self::start_with(config, Parts::default()).await
    }

    /// The same, with parts handed in.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(config: Config, parts: Parts) -> Result<RunningServer, StartError> {
        mqtt::check(&config.mqtt)?;
        let lock = Arc::new(claim(&config)?);
        let path = config.data.join("airlift.db");
        let failed = |source| StartError::Database {
            path: path.clone(),
            source,
        };
        let database = Database::open(&path).await.map_err(failed)?;

        let store = match parts.objects {
            Some(store) => store,
            None => objects::local(&config.data).map_err(StartError::Objects)?,
        };
        let images = ImageCache::new(Objects::new(store), config.image_cache);
        let catalog =
            Catalog::open(database.clone(), images)
                .await
                .map_err(|error| match error {
                    crate::catalog::CatalogError::Database(source) => failed(source),
                    crate::catalog::CatalogError::Row(row) => StartError::Content {
                        path: path.clone(),
                        message: row.to_string(),
                    },
                })?;
        let catalog = Arc::new(catalog);
        let devices = database.devices().await.map_err(failed)?;
        let partitions = database.partitions().await.map_err(failed)?;
        let registry = Arc::new(Registry::restore(
            &devices,
            &partitions,
            config.max_devices_per_organization,
            config.max_devices,
        ));
        let rollouts = Rollouts::open(
            database.clone(),
            Arc::clone(&catalog),
            Arc::clone(&registry),
            Arc::clone(&parts.clock),
        );
        let rollouts = rollouts.await.map_err(|error| match error {
            LogError::Database(source) => failed(source),
            unreadable @ LogError::Unreadable { .. } => StartError::Content {
                path: path.clone(),
                message: unreadable.to_string(),
            },
        })?;
        let rollouts = Arc::new(rollouts);
        let writer = Arc::new(Writer::new(Arc::clone(&registry), database.clone()));
        let tokens = Arc::new(Tokens::open(database.clone()).await.map_err(failed)?);

        // Listen before the token is made: a start that fails for the address must not use up the one showing of it.
        let listen = |source| StartError::Listen {
            address: config.http,
            source,
        };
        let listener = TcpListener::bind(config.http).await.map_err(listen)?;
        let local_addr = listener.local_addr().map_err(listen)?;
        let authority = Arc::new(LazyAuthority::new(&config.data));
        let sockets = Sockets::open(&config.mqtt, &authority, &parts.clock).await?;
        let (mqtt_addr, mqtts_addr) = (sockets.plain_addr, sockets.tls_addr);
        let admin_token = if tokens.is_new().await.map_err(failed)? {
            let created = tokens
                .create(None, "administrator", parts.clock.now())
                .await;
            Some(created.map_err(failed)?.1)
        } else {
            None
        };

        let jobs = Arc::new(AwsService::new(
            Arc::clone(&catalog),
            Arc::clone(&registry),
            Arc::clone(&rollouts),
            Arc::clone(&parts.clock),
            config.resolution,
        ));
        let door = AwsMqtt::new(
            &config,
            Arc::clone(&jobs),
            Arc::clone(&catalog),
            Arc::clone(&parts.clock),
        );
        let api = admin::router(Api {
            mqtt: Arc::clone(&door),
            mqtts_port: mqtts_addr.map(|address| address.port()),
            authority,
            jobs: Arc::clone(&jobs),
            catalog: Arc::clone(&catalog),
            registry: Arc::clone(&registry),
            rollouts: Arc::clone(&rollouts),
            resolution: config.resolution,
            writer: Arc::clone(&writer),
            tokens,
            clock: Arc::clone(&parts.clock),
            max_image_size: config.max_image_size,
        });
        let front = Arc::new(Front {
            esp_http: EspHttp {
                catalog,
                registry,
                rollouts: Arc::clone(&rollouts),
                clock: parts.clock,
                resolution: config.resolution,
            },
            api: TowerToHyperService::new(api),
            header_timeout: config.header_timeout,
            stall_timeout: config.stall_timeout,
            connections: Arc::new(Semaphore::new(config.max_connections)),
        });
        let (phase, watched) = watch::channel(Phase::Run);
        let accepting = tokio::spawn({
            let (watched, phase, lock) = (watched.clone(), phase.clone(), Arc::clone(&lock));
            async move {
                connection::run(listener, front, watched, phase).await;
                drop(lock);
            }
        });
        let accepting_mqtt = sockets.serve(&door, &watched);
        let keeping_up = tokio::spawn(jobs.run(watched.clone()));
        let rolling_out = tokio::spawn({
            let (rollouts, watched) = (Arc::clone(&rollouts), watched.clone());
            async move { rollouts.run(watched).await }
        });
        let writing = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move { writer.run(config.registry_flush, watched).await }
        });
        for (address, what) in [(mqtt_addr, "MQTT"), (mqtts_addr, "MQTT over TLS")] {
            if let Some(address) = address {
                tracing::info!(%address, "serving {what}");
            }
        }
        tracing::info!(address = %local_addr, data = %config.data.display(), "serving");
        Ok(RunningServer {
            local_addr,
            mqtt_addr,
            mqtts_addr,
            admin_token,
            phase,
            accepting,
            accepting_mqtt,
            keeping_up,
            rolling_out,
            rollouts,
            writing,
            writer,
            database,
            _lock: lock,
        })
    }
}

impl RunningServer {
    /// Where it listens: the real port if 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where it listens for MQTT without TLS, if it does.
    pub fn mqtt_addr(&self) -> Option<SocketAddr> {
        self.mqtt_addr
    }

    /// Where it listens for MQTT over TLS, if it does.
    pub fn mqtts_addr(&self) -> Option<SocketAddr> {
        self.mqtts_addr
    }

    /// The administrator's token: only at the very first start on a data folder, and kept nowhere.
    pub fn admin_token(&self) -> Option<String> {
        self.admin_token.clone()
    }

    /// Stops: takes no new connection, lets answers under way finish (10 s at most), writes the last check-ins, closes
    /// the database.
    pub async fn shutdown(mut self) {
        let _ = self.phase.send(Phase::Finish);
        let _ = (&mut self.accepting).await;
        for accepting in &mut self.accepting_mqtt {
            let _ = accepting.await;
        }
        let _ = (&mut self.keeping_up).await;
        let _ = (&mut self.writing).await;
        if let Err(error) = self.rollouts.flush().await {
            tracing::error!(%error, "the last events of rollouts could not be written");
        }
        self.rolling_out.abort();
        if let Err(error) = self.writer.flush().await {
            tracing::error!(%error, "the last check-ins could not be written");
        }
        self.database.close().await;
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        let _ = self.phase.send(Phase::Cut);
        self.rolling_out.abort();
    }
}

/// Makes the data folder, makes sure that it is ours alone, and removes what a killed server left.
fn claim(config: &Config) -> Result<File, StartError> {
    let at = |path: PathBuf| move |source| StartError::DataFolder { path, source };
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    // Token hashes, images, addresses of devices: nobody else's business on this machine.
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder
        .create(&config.data)
        .map_err(at(config.data.clone()))?;
    let path = config.data.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(at(path.clone()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StartError::InUse {
                path: config.data.clone(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(at(path)(source)),
    }
    objects::clear_incoming(&config.data).map_err(at(config.data.join("incoming")))?;
    Ok(lock)
}
