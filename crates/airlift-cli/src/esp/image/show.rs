//! `airlift esp image show`: all there is, also of a broken image.

use std::{fmt::Write as _, path::Path};

use airlift_formats::esp::app_image::{
    AppDescriptor, BootloaderDescriptor, CHECKSUM_SEED, Expect, HASH_LEN, HEADER_LEN, Header,
    ImageError, Kind, MAX_SEGMENTS, SEGMENT_HEADER_LEN, SIGNATURE_SECTOR_LEN, Segment,
    SegmentHeader, SignatureBlock, Summary, image_len, signature_blocks, text,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{error_json, hex, judge, print, printable};

pub(super) fn run(path: &Path, bytes: &[u8], as_json: bool) -> anyhow::Result<()> {
    let kind = Kind::guess(bytes);
    let verdict = judge(bytes, Expect::strict(kind));
    let anatomy = Anatomy::of(bytes, kind);
    if as_json {
        print(&format!("{:#}\n", anatomy.to_json(&verdict)))?;
    } else {
        print(&anatomy.to_text(path, &verdict))?;
    }
    match verdict {
        Ok(_) => Ok(()),
        Err(error) => Err(anyhow::Error::new(error).context(path.display().to_string())),
    }
}

/// What is found by going through the bytes without judging them.
struct Anatomy<'a> {
    file_len: usize,
    kind: Kind,
    header: Option<Header>,
    segments: Vec<Segment>,
    /// The stored and the computed checksum, if the segments end within the file.
    checksum: Option<(u8, u8)>,
    /// The stored and the computed SHA-256, if there is one.
    hash: Option<([u8; HASH_LEN], [u8; HASH_LEN])>,
    image_len: Option<usize>,
    app: Option<AppDescriptor>,
    bootloader: Option<BootloaderDescriptor>,
    /// Blocks in use, and the SHA-256 of what they have to sign.
    signatures: Vec<(SignatureBlock<'a>, [u8; HASH_LEN])>,
}

impl<'a> Anatomy<'a> {
    fn of(bytes: &'a [u8], kind: Kind) -> Self {
        let data = bytes.get(HEADER_LEN + SEGMENT_HEADER_LEN..).unwrap_or(&[]);
        let mut anatomy = Self {
            file_len: bytes.len(),
            kind,
            header: bytes.first_chunk().map(Header::parse),
            segments: Vec::new(),
            checksum: None,
            hash: None,
            image_len: None,
            app: data.first_chunk().and_then(AppDescriptor::parse),
            bootloader: data
                .first_chunk()
                .filter(|_| kind == Kind::Bootloader)
                .and_then(BootloaderDescriptor::parse),
            signatures: Vec::new(),
        };
        if let Some(header) = anatomy.header.filter(|header| header.magic == 0xE9) {
            anatomy.walk(bytes, &header);
        }
        anatomy
    }

    fn walk(&mut self, bytes: &'a [u8], header: &Header) {
        let mut offset = HEADER_LEN;
        let mut checksum = CHECKSUM_SEED;
        for index in 0..header.segment_count.min(MAX_SEGMENTS) {
            let Some(segment) = bytes.get(offset..).and_then(<[u8]>::first_chunk) else {
                return;
            };
            let segment = SegmentHeader::parse(segment);
            self.segments.push(Segment {
                index,
                offset: offset as u32,
                header: segment,
            });
            let start = offset + SEGMENT_HEADER_LEN;
            let Some(data) = bytes
                .get(start..)
                .and_then(|rest| rest.get(..segment.data_len as usize))
            else {
                return;
            };
            checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
            offset = start + data.len();
        }
        let end = |hashed| image_len(offset as u32, hashed).map(|end| end as usize);
        let Some(unhashed) = end(false) else { return };
        self.checksum = bytes.get(unhashed - 1).map(|stored| (*stored, checksum));
        let Some(end) = end(header.hash_appended != 0) else {
            return;
        };
        if let (Some(hashed), Some(stored)) = (
            bytes.get(..unhashed),
            bytes.get(unhashed..end).and_then(<[u8]>::first_chunk),
        ) {
            self.hash = Some((*stored, Sha256::digest(hashed).into()));
        }
        if end <= bytes.len() {
            self.image_len = Some(end);
            self.look_for_signatures(bytes, end);
        }
    }

    fn look_for_signatures(&mut self, bytes: &'a [u8], end: usize) {
        let at = end.next_multiple_of(SIGNATURE_SECTOR_LEN);
        let Some((signed, sector)) = bytes.split_at_checked(at) else {
            return;
        };
        if let Some(sector) = sector.first_chunk() {
            let used: Vec<_> = signature_blocks(sector)
                .filter(|block| block.kind().is_some())
                .collect();
            if !used.is_empty() {
                let digest = Sha256::digest(signed).into();
                self.signatures = used.into_iter().map(|block| (block, digest)).collect();
            }
        }
    }

    fn role(&self, segment: &Segment) -> &'static str {
        let mmu = self.header.and_then(|header| header.chip.mmu());
        match segment.header.load_addr {
            0 => "padding",
            address if address < 0x1000_0000 => "not loaded",
            address if mmu.is_some_and(|mmu| mmu.maps(address)) => "mapped from flash",
            address
                if self
                    .header
                    .is_some_and(|header| header.chip.has_memory_at(address)) =>
            {
                "copied to RAM"
            }
            _ => "no memory there",
        }
    }

    fn kind_name(&self) -> &'static str {
        match (self.header, self.kind) {
            (Some(Header { magic: 0xE9, .. }), Kind::App) => "app",
            (Some(Header { magic: 0xE9, .. }), Kind::Bootloader) => "bootloader",
            _ => "unknown",
        }
    }

    fn to_json(&self, verdict: &Result<Summary, ImageError>) -> Value {
        let mut root = match verdict {
            Ok(_) => json!({ "valid": true }),
            Err(error) => error_json(error),
        };
        root["file_len"] = json!(self.file_len);
        root["image_len"] = json!(self.image_len);
        root["kind"] = json!(self.kind_name());
        root["header"] = json!(self.header.map(|header| json!({
            "magic": header.magic,
            "segment_count": header.segment_count,
            "chip": header.chip.target(),
            "chip_id": header.chip.0,
            "entry": header.entry,
            "spi_mode": header.spi_mode,
            "spi_speed": header.spi_speed,
            "spi_size": header.spi_size,
            "wp_pin": header.wp_pin,
            "min_revision": header.min_revision,
            "max_revision": header.max_revision,
            "hash_appended": header.hash_appended,
        })));
        let segments: Vec<Value> = self
            .segments
            .iter()
            .map(|segment| {
                json!({
                    "offset": segment.offset,
                    "load_addr": segment.header.load_addr,
                    "length": segment.header.data_len,
                    "role": self.role(segment),
                })
            })
            .collect();
        root["segments"] = json!(segments);
        root["checksum"] = json!(self.checksum.map(|(stored, computed)| json!({
            "stored": stored,
            "computed": computed,
            "valid": stored == computed,
        })));
        root["hash"] = json!(self.hash.map(|(stored, computed)| json!({
            "stored": hex(&stored),
            "computed": hex(&computed),
            "valid": stored == computed,
        })));
        root["app"] = json!(self.app.map(|app| json!({
            "project": printable(text(&app.project)),
            "version": printable(text(&app.version)),
            "secure_version": app.secure_version,
            "date": printable(text(&app.date)),
            "time": printable(text(&app.time)),
            "idf_version": printable(text(&app.idf_version)),
            "elf_sha256": hex(&app.elf_sha256),
            "min_efuse_block_revision": app.min_efuse_block_revision,
            "max_efuse_block_revision": app.max_efuse_block_revision,
            "mmu_page_log2": app.mmu_page_log2,
            "spi_flash_mode": app.spi_flash_mode,
        })));
        root["bootloader"] = json!(self.bootloader.map(|bootloader| json!({
            "version": bootloader.version,
            "secure_version": bootloader.secure_version,
            "idf_version": printable(text(&bootloader.idf_version)),
            "date_time": printable(text(&bootloader.date_time)),
        })));
        let signatures: Vec<Value> = self
            .signatures
            .iter()
            .map(|(block, digest)| {
                let check = block.check(digest);
                json!({
                    "kind": block.kind().map(|kind| kind.to_string()),
                    "undamaged": check.is_ok(),
                    "fault": check.err().map(|fault| fault.to_string()),
                    "verified": false,
                })
            })
            .collect();
        root["signatures"] = json!(signatures);
        root
    }

    fn to_text(&self, path: &Path, verdict: &Result<Summary, ImageError>) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_text(&mut out, path, verdict);
        out
    }

    fn write_text(
        &self,
        out: &mut String,
        path: &Path,
        verdict: &Result<Summary, ImageError>,
    ) -> std::fmt::Result {
        let mut line =
            |name: &str, value: &dyn std::fmt::Display| writeln!(out, "{name:<16} {value}");
        line("file", &path.display())?;
        line("bytes", &self.file_len)?;
        if let Some(header) = self.header.filter(|header| header.magic == 0xE9) {
            line("kind", &self.kind_name())?;
            line(
                "chip",
                &format_args!("{} (number {})", header.chip, header.chip.0),
            )?;
            line(
                "chip revisions",
                &revisions(header.min_revision, header.max_revision),
            )?;
            line("entry point", &format_args!("{:#010x}", header.entry))?;
            line("flash", &flash(&header))?;
        }
        if let Some(app) = &self.app {
            line("project", &printable(text(&app.project)))?;
            line("version", &printable(text(&app.version)))?;
            line("secure version", &app.secure_version)?;
            let (date, time) = (printable(text(&app.date)), printable(text(&app.time)));
            line("built", &format_args!("{date} {time}"))?;
            line("ESP-IDF", &printable(text(&app.idf_version)))?;
            line("ELF SHA-256", &hex(&app.elf_sha256))?;
        }
        if let Some(bootloader) = &self.bootloader {
            line("version", &bootloader.version)?;
            line("secure version", &bootloader.secure_version)?;
            line("built", &printable(text(&bootloader.date_time)))?;
            line("ESP-IDF", &printable(text(&bootloader.idf_version)))?;
        }
        if let Some(image_len) = self.image_len {
            let behind = self.file_len.saturating_sub(image_len);
            line(
                "image",
                &format_args!("{image_len} bytes, {behind} behind it"),
            )?;
        }
        if let Some((stored, computed)) = self.checksum {
            let verdict = right(stored == computed);
            line(
                "checksum",
                &format_args!("{stored:#04x} ({verdict}, computed {computed:#04x})"),
            )?;
        }
        if let Some((stored, computed)) = self.hash {
            line(
                "SHA-256",
                &format_args!("{} ({})", hex(&stored), right(stored == computed)),
            )?;
        } else if self.header.is_some_and(|header| header.hash_appended == 0) {
            line("SHA-256", &"none appended")?;
        }
        for (block, digest) in &self.signatures {
            let kind = block
                .kind()
                .map(|kind| kind.to_string())
                .unwrap_or_default();
            match block.check(digest) {
                Ok(()) => line(
                    "signature",
                    &format_args!("{kind}, undamaged, not verified"),
                )?,
                Err(fault) => line("signature", &format_args!("{kind}, {fault}, not verified"))?,
            }
        }
        if !self.segments.is_empty() {
            writeln!(out, "\nsegment      offset  load address      length")?;
        }
        for segment in &self.segments {
            let SegmentHeader {
                load_addr,
                data_len,
            } = segment.header;
            let (index, offset, role) = (segment.index, segment.offset, self.role(segment));
            writeln!(
                out,
                "{index:>7}  {offset:#10x}    {load_addr:#010x}  {data_len:#10x}  {role}"
            )?;
        }
        match verdict {
            Ok(_) => writeln!(out, "\ngood"),
            Err(error) => writeln!(out, "\nNOT GOOD: {error}"),
        }
    }
}

fn right(is_right: bool) -> &'static str {
    if is_right { "right" } else { "WRONG" }
}

fn revisions(min: u16, max: u16) -> String {
    let version = |revision: u16| format!("v{}.{}", revision / 100, revision % 100);
    match max {
        0 | 0xFFFF => format!("{} and later", version(min)),
        _ => format!("{} to {}", version(min), version(max)),
    }
}

fn flash(header: &Header) -> String {
    let mode = ["QIO", "QOUT", "DIO", "DOUT", "FAST", "SLOW"]
        .get(usize::from(header.spi_mode))
        .copied()
        .unwrap_or("unknown mode");
    match header.spi_size {
        size @ 0..=7 => format!("{mode}, {} MB", 1 << size),
        size => format!("{mode}, unknown size {size:#x}"),
    }
}
