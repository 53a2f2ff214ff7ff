//! The doorbell: "there may be work", without data. A lost ring costs one poll interval.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use postgres_tls::Target;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::AsyncMessage;

use crate::registry::queue;
use crate::statement::Call;

/// Rest after a connection was lost or refused.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Rings heard on a connection of its own, which reconnects for as long as this lives. Several rings may be heard as one.
#[derive(Debug)]
pub struct Doorbell {
    heard: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Doorbell {
    pub(crate) fn listen(target: Target) -> Doorbell {
        let heard = Arc::new(Notify::new());
        let listener = tokio::spawn(listen_for_ever(target, Arc::clone(&heard)));
        Doorbell { heard, listener }
    }

    /// Waits for the next ring. Also returns after each (re)connection, because a ring may have been missed. Cancel-safe.
    pub async fn rung(&mut self) {
        self.heard.notified().await;
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen_for_ever(target: Target, heard: Arc<Notify>) {
    loop {
        if let Err(error) = listen_until_lost(&target, &heard).await {
            tracing::debug!(%error, "the doorbell's connection is lost");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn listen_until_lost(target: &Target, heard: &Notify) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = target.connect().await?;
    // deadpool's connection task throws notifications away, and a plain one too: drive this connection ourselves.
    let hear = async {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(_) = message? {
                heard.notify_one();
            }
        }
        Ok(())
    };
    let listen = async {
        client.batch_execute(queue::Listen::STATEMENT.text).await?;
        heard.notify_one();
        // Keep the client alive: dropping it would end the connection.
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    tokio::select! {
        ended = hear => ended,
        failed = listen => failed,
    }
}
