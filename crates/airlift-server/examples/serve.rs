//! The smallest server: `serve DATA-FOLDER ADDRESS`. Prints its address and, at the first start, the administrator's token.

use std::error::Error;
use std::net::SocketAddr;

use airlift_server::{Config, Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(data), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve DATA-FOLDER ADDRESS".into());
    };
    let address: SocketAddr = address.parse()?;
    let server = Server::start(Config::new(data, address)).await?;
    println!("address {}", server.local_addr());
    if let Some(token) = server.admin_token() {
        println!("token {token}");
    }
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
