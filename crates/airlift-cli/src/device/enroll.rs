//! `airlift device enroll`: what a device needs to sign in over MQTT.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::api::Enrollment;
use crate::output::{self, Look};

/// Give a device what it needs to sign in over MQTT: a certificate, or a password
///
/// Writes THING.cert.pem, THING.key.pem and ca.pem. The private key is made here and never leaves this machine; the server signs a
/// request for a certificate, with an authority of its own that it makes when it is first needed.
///
/// A thing has one credential. A new one voids the one before, closes the connection that uses it, and lifts a block.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the thing, unique in its organization: 1 to 128 of A-Z a-z 0-9 : _ -
    #[arg(value_name = "THING")]
    thing: String,
    /// Organization that the thing belongs to
    #[arg(long, value_name = "NAME")]
    org: String,
    /// Project that the thing belongs to
    #[arg(long, value_name = "NAME")]
    project: String,
    /// Kind of device: which releases are for it [default: only those for this one device]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Folder for the files; made if it is missing
    #[arg(long, value_name = "DIR", required_unless_present = "password")]
    out: Option<PathBuf>,
    /// A password instead of a certificate, shown once
    #[arg(long, conflicts_with = "out")]
    password: bool,
    #[command(flatten)]
    access: Access,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Longest name of a thing: the limit of AWS.
const MAX_THING: usize = 128;

/// What the server answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Enrolled {
    mqtts_port: Option<u16>,
    #[serde(flatten)]
    credential: Credential,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Credential {
    Certificate {
        certificate: String,
        fingerprint: String,
        ca: String,
    },
    Password {
        user_name: String,
        password: String,
    },
}

/// For programs.
#[derive(Serialize)]
#[serde(untagged)]
enum Done<'a> {
    Certificate {
        thing: &'a str,
        certificate: &'a Path,
        private_key: &'a Path,
        ca: &'a Path,
        fingerprint: &'a str,
        mqtts_port: Option<u16>,
    },
    Password {
        thing: &'a str,
        user_name: &'a str,
        password: &'a str,
        mqtts_port: Option<u16>,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    crate::log_to_stderr("warn");
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_' | b'-');
    if !(1..=MAX_THING).contains(&args.thing.len()) || !args.thing.bytes().all(allowed) {
        bail!(
            "{:?} is not the name of a thing: it has 1 to {MAX_THING} of the characters A-Z a-z 0-9 : _ -",
            args.thing
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    match &args.out {
        Some(out) => runtime.block_on(with_certificate(args, out)),
        None => runtime.block_on(with_password(args)),
    }
}

fn enrollment<'a>(args: &'a Args, csr: Option<&'a str>) -> Enrollment<'a> {
    Enrollment {
        organization: &args.org,
        thing: &args.thing,
        project: &args.project,
        key: args.key.as_deref(),
        csr,
    }
}

async fn with_certificate(args: &Args, out: &Path) -> anyhow::Result<()> {
    let api = args.access.api()?;
    let file = |end: &str| out.join(format!("{}.{end}", args.thing));
    let (cert_path, key_path) = (file("cert.pem"), file("key.pem"));
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for path in [&cert_path, &key_path] {
        if path.exists() {
            bail!(
                "{} exists already: remove it if the thing is to have a new certificate, or choose another folder",
                path.display()
            );
        }
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    let csr = CertificateParams::default().serialize_request(&key);
    let csr = csr
        .and_then(|csr| csr.pem())
        .context("cannot sign a request")?;

    // First the key, before the server voids anything: without it the certificate is worth nothing.
    write_private(&key_path, &key.serialize_pem())
        .with_context(|| format!("cannot write {}", key_path.display()))?;
    let enrolled = api.enroll(&enrollment(args, Some(&csr))).await;
    let Enrolled {
        mqtts_port,
        credential,
    } = enrolled.inspect_err(|_| drop(fs::remove_file(&key_path)))?;
    let Credential::Certificate {
        certificate,
        fingerprint,
        ca,
    } = credential
    else {
        bail!("the server has not answered with a certificate");
    };
    // Devices of two servers may share a folder; their authorities may not share a file.
    let mut ca_path = out.join("ca.pem");
    if fs::read_to_string(&ca_path).is_ok_and(|known| known != ca) {
        ca_path = file("ca.pem");
    }
    for (path, text) in [(&cert_path, &certificate), (&ca_path, &ca)] {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }

    if args.json {
        let done = Done::Certificate {
            thing: &args.thing,
            certificate: &cert_path,
            private_key: &key_path,
            ca: &ca_path,
            fingerprint: &fingerprint,
            mqtts_port,
        };
        output::print(&format!("{}\n", serde_json::to_string_pretty(&done)?));
        return Ok(());
    }
    let look = Look::stdout();
    let mut text = format!(
        "{} {} of {}/{}\n  certificate  {}\n  private key  {}  {}\n  authority    {}\n  SHA-256      {fingerprint}\n",
        look.good("Enrolled"),
        look.bold(&args.thing),
        args.org,
        args.project,
        cert_path.display(),
        key_path.display(),
        look.dim("(nowhere else: keep it)"),
        ca_path.display(),
    );
    let tls = format!(
        "--cafile {} --cert {} --key {} ",
        ca_path.display(),
        cert_path.display(),
        key_path.display()
    );
    text += &next(look, args, mqtts_port, &tls);
    output::print(&text);
    Ok(())
}

async fn with_password(args: &Args) -> anyhow::Result<()> {
    let Enrolled {
        mqtts_port,
        credential,
    } = args.access.api()?.enroll(&enrollment(args, None)).await?;
    let Credential::Password {
        user_name,
        password,
    } = credential
    else {
        bail!("the server has not answered with a password");
    };
    if args.json {
        let done = Done::Password {
            thing: &args.thing,
            user_name: &user_name,
            password: &password,
            mqtts_port,
        };
        output::print(&format!("{}\n", serde_json::to_string_pretty(&done)?));
        return Ok(());
    }
    let look = Look::stdout();
    output::print(&format!(
        "{} {} of {}/{}\n  user name  {user_name}\n\n{}\n  {}\n",
        look.good("Enrolled"),
        look.bold(&args.thing),
        args.org,
        args.project,
        look.bold("Password, shown only now"),
        look.warn(&password),
    ));
    Ok(())
}

/// How to try it.
fn next(look: Look, args: &Args, port: Option<u16>, tls: &str) -> String {
    let Some(port) = port else {
        return format!(
            "\n{}\n",
            look.warn(
                "The server does not listen for MQTT over TLS: start it with --mqtts 0.0.0.0:8883"
            )
        );
    };
    let host = reqwest::Url::parse(&args.access.server).ok();
    let host = host.as_ref().and_then(|url| url.host_str());
    let topic = format!("$aws/things/{}/jobs/get", args.thing);
    format!(
        "\nTry it (Debian: mosquitto-clients):\n  {}\n",
        look.name(&format!(
            "mosquitto_rr -h {} -p {port} {tls}-i {} -t '{topic}' -e '{topic}/accepted' -m '{{}}'",
            host.unwrap_or("localhost"),
            args.thing
        ))
    )
}

/// Writes a file that only its owner may read, and that was not there.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
