//! The last words to a client.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How long all of it may take.
const GOODBYE: Duration = Duration::from_secs(1);
/// How much is taken off a client that goes on talking.
const UNHEARD: u64 = 256 << 10;

/// Sends the last bytes, and sees that they arrive: a socket that is closed with something unread in it is reset, and what was sent
/// last may be lost with it. So a client that is still talking is listened to for a moment.
pub(super) async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, last: &[u8]) {
    let all = async {
        io.write_all(last).await?;
        io.shutdown().await?;
        tokio::io::copy(&mut io.take(UNHEARD), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(GOODBYE, all).await;
}
