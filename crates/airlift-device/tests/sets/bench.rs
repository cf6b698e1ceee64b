//! A device with two slots, two partitions and whatever processors, and an image for it.

pub(crate) use std::cell::RefCell;
pub(crate) use std::rc::Rc;

pub(crate) use airlift_device::flash::Region;
pub(crate) use airlift_device::install::EspOtadata;
pub(crate) use airlift_device::partition::{
    JournalRestore, Partition, PartitionOutcome, PartitionState,
};
pub(crate) use airlift_device::set::{
    Copy, Destination, Failed, Holds, Identity, Part, PartOffer, Processor, Processors,
    SetDownload, SetRestore, SetState, Step, UnknownTags,
};
pub(crate) use airlift_device::verify::AnyImage;
pub(crate) use airlift_device::{Error, Layout, Mismatch, Offer, Refusal, Status, Updater};
pub(crate) use airlift_formats::esp::otadata::{Record, State};
pub(crate) use airlift_formats::matter::image::{ImageBuilder, MAX_HEADER_LEN};
pub(crate) use airlift_formats::nxp::{Descriptor, FactoryData, PartRule, PayloadBuilder};
pub(crate) use airlift_sim::flash::{Flash, FlashError, Geometry, Model, Nor, SimFlash, block_on};
pub(crate) use sha2::{Digest as _, Sha256};

pub(crate) type Esp = SimFlash<4, 4096>;
pub(crate) type Engine = Updater<'static, Esp, EspOtadata>;

pub(crate) const OTADATA: Region = Region::new(0, 0x2000);
pub(crate) const JOURNAL: Region = Region::new(0x2000, 0x2000);
pub(crate) const SLOTS: [Region; 2] = [Region::new(0x10000, 0x4000), Region::new(0x14000, 0x4000)];
pub(crate) const LAYOUT: Layout<'static> = Layout::new(&SLOTS, JOURNAL);

pub(crate) const fn flash_part(tag: u32, at: u32) -> Part {
    Part {
        tag,
        to: Destination::Partition {
            partition: Partition::data(Region::new(at, 0x1000)),
            room: Region::new(at + 0x1000, 0x1000),
            save: Region::new(at + 0x2000, 0x1000),
        },
    }
}

/// Application, boot loader of a second chip, factory data.
pub(crate) const PARTS: [Part; 3] = [
    Part {
        tag: 1,
        to: Destination::App,
    },
    flash_part(2, 0x18000),
    flash_part(3, 0x1B000),
];

pub(crate) const IDENTITY: Identity = Identity {
    vendor: 0xFFF1,
    product: 0x8001,
    version: 1,
    allows_downgrade: false,
};

/// What a processor has in its own flash: what is used, and what is staged.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Store {
    /// Steps that were done.
    pub(crate) steps: Vec<Step>,
    /// The image that the staged bytes belong to, and the part's length.
    pub(crate) image: Option<([u8; 32], u32)>,
    /// How often it was begun.
    pub(crate) begun: u32,
    pub(crate) used: Vec<u8>,
    pub(crate) staged: Option<Vec<u8>>,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) aborted: bool,
}

/// Keeps a part in another flash.
#[derive(Clone)]
pub(crate) struct Other {
    pub(crate) tag: u32,
    pub(crate) store: Rc<RefCell<Store>>,
    pub(crate) described: usize,
    pub(crate) vetoes: bool,
    pub(crate) fails: bool,
    /// It cannot be reverted.
    pub(crate) sticks: bool,
    /// It can be asked for its bytes.
    pub(crate) reads: bool,
    /// It knows what it has.
    pub(crate) knows: bool,
    /// In which order those with the same log were applied.
    pub(crate) log: Rc<RefCell<Vec<u32>>>,
}

impl Other {
    pub(crate) fn new(tag: u32) -> Self {
        let store = Store {
            used: b"old".to_vec(),
            ..Store::default()
        };
        Self {
            tag,
            store: Rc::new(RefCell::new(store)),
            described: 0,
            vetoes: false,
            fails: false,
            sticks: false,
            reads: false,
            knows: false,
            log: Rc::default(),
        }
    }

    pub(crate) fn used(&self) -> Vec<u8> {
        self.store.borrow().used.clone()
    }
}

impl Processor for Other {
    fn tag(&self) -> u32 {
        self.tag
    }

    fn descriptor_len(&self) -> usize {
        self.described
    }

    fn descriptor(&mut self, descriptor: &[u8]) -> Result<(), Refusal> {
        assert_eq!(descriptor.len(), self.described);
        if self.vetoes {
            return Err(Refusal::Vetoed { tag: self.tag });
        }
        Ok(())
    }

    async fn holds(&mut self, content: &Offer) -> bool {
        let store = self.store.borrow();
        let digest = <[u8; 32]>::from(Sha256::digest(&store.used));
        self.knows && (store.used.len() as u32, digest) == (content.length, content.sha256)
    }

    async fn open(&mut self, part: &PartOffer) -> Result<u32, Failed> {
        let ours = Some((part.image, part.length));
        if self.reads && self.store.borrow().image == ours {
            let store = self.store.borrow();
            return Ok(store
                .staged
                .as_ref()
                .map_or(0, |staged| staged.len() as u32));
        }
        self.begin(part.length).await?;
        self.store.borrow_mut().image = ours;
        Ok(0)
    }

    async fn read(&mut self, copy: Copy, at: u32, bytes: &mut [u8]) -> Result<bool, Failed> {
        let store = self.store.borrow();
        let from = match copy {
            Copy::Used => Some(&store.used),
            Copy::Staged => store.staged.as_ref(),
        };
        let from = from.ok_or(Failed)?.get(at as usize..).ok_or(Failed)?;
        bytes.copy_from_slice(from.get(..bytes.len()).ok_or(Failed)?);
        Ok(self.reads)
    }

    async fn begin(&mut self, length: u32) -> Result<(), Failed> {
        self.store.borrow_mut().begun += 1;
        self.store.borrow_mut().image = None;
        self.store.borrow_mut().staged = Some(Vec::with_capacity(length as usize));
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let mut store = self.store.borrow_mut();
        store.staged.as_mut().ok_or(Failed)?.extend(bytes);
        Ok(())
    }

    async fn abort(&mut self) {
        let mut store = self.store.borrow_mut();
        store.staged = None;
        store.image = None;
        store.aborted = true;
    }

    async fn step(&mut self, step: Step) -> Result<(), Failed> {
        let mut store = self.store.borrow_mut();
        store.steps.push(step);
        store.image = None;
        match step {
            Step::Apply if self.fails => return Err(Failed),
            Step::Revert if self.sticks => return Err(Failed),
            Step::Apply => {
                if let Some(staged) = store.staged.take() {
                    store.before = Some(std::mem::replace(&mut store.used, staged));
                    self.log.borrow_mut().push(self.tag);
                }
            }
            Step::Revert => {
                store.staged = None;
                if let Some(before) = store.before.take() {
                    store.used = before;
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn device() -> Esp {
    let mut nor = Nor::new(Geometry::new(4, 4096, 0x24000).unwrap(), Model::Once);
    nor.overwrite(0, &Record::new(1, State::Valid).emit())
        .unwrap();
    nor.overwrite(SLOTS[0].offset, &[0xE9; 1000]).unwrap();
    nor.overwrite(0x18000, &[0x22; 0x1000]).unwrap();
    nor.overwrite(0x1B000, &[0x33; 0x1000]).unwrap();
    Flash::new(nor).typed().unwrap()
}

pub(crate) fn start<P: Processors>(flash: &Esp, running: u8, processors: P) -> Engine {
    let boot = EspOtadata::new(OTADATA, 2);
    let mut buffer = [0; 256];
    let mechanisms = &mut (JournalRestore, SetRestore(processors));
    let started = Updater::recover(
        flash.clone(),
        boot,
        LAYOUT,
        Some(running),
        mechanisms,
        &mut buffer,
    );
    block_on(started).unwrap()
}

pub(crate) fn cells(flash: &Esp, offset: u32, len: usize) -> Vec<u8> {
    flash.flash().lock().cells()[offset as usize..][..len].to_vec()
}

pub(crate) fn app() -> Vec<u8> {
    (0..7000_u32)
        .map(|i| (i.wrapping_mul(i) >> 7) as u8)
        .collect()
}

pub(crate) fn factory_data() -> FactoryData<'static> {
    FactoryData {
        dac_private_key: Some(&[7; 32]),
        ..FactoryData::default()
    }
}

pub(crate) fn builder() -> ImageBuilder {
    ImageBuilder::new(0xFFF1, 0x8001, 2, "2.0")
}

/// Application, second chip, factory data, and `custom` by tag.
pub(crate) fn payload(custom: &[(u32, &[u8], &[u8])]) -> Vec<u8> {
    parts(custom).build()
}

/// The same, with a manifest.
pub(crate) fn with_manifest(custom: &[(u32, &[u8], &[u8])], rules: &[PartRule<'_>]) -> Vec<u8> {
    parts(custom).build_with_manifest(rules).unwrap()
}

pub(crate) fn parts(custom: &[(u32, &[u8], &[u8])]) -> PayloadBuilder {
    let described = Descriptor::new(2, "2.0", "2026-11-26").unwrap();
    let mut payload = PayloadBuilder::default();
    payload.application(&described, &app()).unwrap();
    payload.bootloader(&described, &[0xB0; 2000]).unwrap();
    payload.factory_data(&factory_data()).unwrap();
    for (tag, descriptor, content) in custom {
        payload.custom(*tag, descriptor, content).unwrap();
    }
    payload
}

/// The tables of a device, and what a download of it borrows.
pub(crate) struct Buffers {
    pub(crate) header: [u8; MAX_HEADER_LEN],
    pub(crate) buffer: [u8; 512],
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            header: [0; MAX_HEADER_LEN],
            buffer: [0; 512],
        }
    }

    pub(crate) fn download<P: Processors>(
        &mut self,
        parts: &'static [Part],
        processors: P,
        unknown: UnknownTags,
    ) -> Result<SetDownload<'static, '_, '_, AnyImage, P>, Refusal> {
        let Self { header, buffer } = self;
        SetDownload::new(
            IDENTITY, parts, AnyImage, processors, unknown, header, buffer,
        )
    }
}

/// Everything that comes, in pieces.
pub(crate) fn feed<P: Processors>(
    engine: &mut Engine,
    image: &[u8],
    piece: usize,
    processors: P,
    unknown: UnknownTags,
) -> Result<SetState, Error<FlashError>> {
    let mut buffers = Buffers::new();
    let mut download = buffers.download(&PARTS, processors, unknown)?;
    block_on(async {
        for piece in image.chunks(piece) {
            download.write(engine, piece).await?;
        }
        download.finish(engine).await
    })
}

/// Only what is wanted, in pieces, `most` bytes of it: how many there were, and how it ended if it did.
pub(crate) fn fetch<P: Processors>(
    engine: &mut Engine,
    image: &[u8],
    piece: usize,
    most: usize,
    processors: P,
) -> (usize, Option<Result<SetState, Error<FlashError>>>) {
    let mut buffers = Buffers::new();
    let unknown = UnknownTags::Refuse;
    let mut download = buffers.download(&PARTS, processors, unknown).unwrap();
    let mut fetched = 0;
    while let Some(at) = download.wanted() {
        let rest = &image[at as usize..];
        let bytes = &rest[..piece.min(rest.len()).min(most - fetched)];
        if bytes.is_empty() {
            return (fetched, None);
        }
        fetched += bytes.len();
        if let Err(error) = block_on(download.write_at(engine, at, bytes)) {
            return (fetched, Some(Err(error)));
        }
    }
    (fetched, Some(block_on(download.finish(engine))))
}

pub(crate) const MOST: usize = usize::MAX;

/// How often the sectors of a region were erased.
pub(crate) fn erases(flash: &Esp, region: Region) -> u32 {
    let first = region.offset as usize / 4096;
    let nor = flash.flash().lock();
    let sectors = &nor.sector_erases()[first..first + region.len as usize / 4096];
    sectors.iter().sum()
}

/// What the engine says of each part.
pub(crate) fn report<F: embedded_storage_async::nor_flash::NorFlash>(
    engine: &mut Updater<'_, F, EspOtadata>,
) -> Vec<(u32, Holds)> {
    let mut parts = Vec::new();
    while let Ok(Some(part)) = block_on(engine.set_part(parts.len())) {
        parts.push((part.tag, part.holds));
    }
    parts
}
