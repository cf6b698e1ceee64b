/// What the flash was asked to do since it was made or [`Nor::reset_statistics`](super::Nor::reset_statistics) was called.
///
/// An operation that a cut tore is counted, one that the cut prevented is not; calls that are refused for their arguments or for lack of
/// power are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Read calls.
    pub read_calls: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Write calls.
    pub write_calls: u64,
    /// Words programmed; times the word size: bytes.
    pub words_programmed: u64,
    /// Words among them that had no completed erase since they were programmed last. Code that keeps to the contract of
    /// `embedded-storage` leaves this at 0, also on [`Model::And`](super::Model::And) where the flash would let it pass.
    pub words_reprogrammed: u64,
    /// Erase calls.
    pub erase_calls: u64,
    /// Sectors erased.
    pub sectors_erased: u64,
}
