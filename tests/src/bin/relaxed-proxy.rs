//! A proxy whose commits are not synced: what the durability test must notice.

use keybrake::{
    app::App,
    config::{Config, environment},
    outside::Clock,
    server,
    store::sqlite::Durability,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(&environment)?;
    let listener = TcpListener::bind(config.listen).await?;
    let (app, closed) = App::open(config, Clock::default(), Durability::Relaxed).await?;
    server::serve(app, closed, listener.into(), std::future::pending()).await?;
    Ok(())
}
