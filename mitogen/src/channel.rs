//! Two ends that talk to each other.

use crate::error::Error;
use crate::receiver::Receiver;
use crate::sender::{Sender, Sending};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A receiver here and a sender to somewhere: a conversation.
#[derive(Debug)]
pub struct Channel {
    /// What comes.
    pub receiver: Receiver,
    /// What goes.
    pub sender: Sender,
}

impl Channel {
    /// Joins both ends.
    pub fn new(receiver: Receiver, sender: Sender) -> Channel {
        Channel { receiver, sender }
    }

    /// As [`Receiver::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        self.receiver.recv().await
    }

    /// As [`Sender::send`].
    ///
    /// # Errors
    /// As there.
    pub fn send(&self, value: impl Serialize) -> Sending {
        self.sender.send(value)
    }
}

impl Drop for Channel {
    /// Tells the other end.
    fn drop(&mut self) {
        self.sender.close();
    }
}
