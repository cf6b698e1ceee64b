//! What a client sends, and what of it can be answered at once.

use std::time::Duration;

use super::super::codec::{Fault, Packet, Publish, Reason, Subscribe, Version};
use super::super::topic;
use super::outgoing::Waiting;
use super::{Connection, End, log_unsent};

/// Largest message that a client may publish: the limit of AWS. The largest request of the protocols has some 13 KiB.
const MAX_PAYLOAD: usize = 128 << 10;

impl<S> Connection<S> {
    pub(super) fn take(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            // The codec lets no second one through.
            Packet::Connect(_) => Ok(()),
            Packet::Publish(message) => self.take_message(message).map_err(End::Fault),
            Packet::Puback(id) => {
                let known = &mut self.session.unacknowledged;
                // One that is not known was acknowledged twice, which does no harm.
                known.retain(|(sent, _)| *sent != id);
                Ok(())
            }
            Packet::Subscribe(request) => {
                self.subscribe(&request);
                Ok(())
            }
            Packet::Unsubscribe { id, filters } => {
                let subscriptions = &mut self.session.subscriptions;
                let existed: Vec<bool> = filters
                    .iter()
                    .map(|filter| subscriptions.remove(filter, &self.thing.name))
                    .collect();
                let sent = self.version.unsuback(id, &existed, &mut self.output);
                log_unsent("UNSUBACK", sent);
                Ok(())
            }
            Packet::Pingreq => {
                self.version.pingresp(&mut self.output);
                Ok(())
            }
            Packet::Disconnect { session_expiry } => {
                // Section 3.14.2.2.2: a session that was to end with the connection cannot be kept after all.
                if let Some(seconds) = session_expiry
                    && !self.terms.session_expiry.is_zero()
                {
                    self.terms.session_expiry = Duration::from_secs(seconds.into());
                }
                Err(End::Disconnected)
            }
        }
    }

    /// Asks the rule before anything is answered.
    fn take_message(&mut self, message: Publish) -> Result<(), Fault> {
        let Publish { topic, id, payload } = message;
        let refused = match topic::own(&topic, &self.thing.name) {
            None => Some(Reason::NotAuthorized),
            Some(_) if payload.len() > MAX_PAYLOAD => Some(Reason::QuotaExceeded),
            Some(_) => None,
        };
        if let Some(reason) = refused {
            let topic: String = topic.escape_debug().take(200).collect();
            tracing::debug!(thing = %self.thing.name, topic, ?reason, "a message is refused");
            // Only the acknowledgement of MQTT 5 can say no; otherwise the end of the connection does.
            let (Version::V5, Some(id)) = (self.version, id) else {
                let what = "a message that the client may not publish";
                return Err(Fault { reason, what });
            };
            self.waiting.push_back(Waiting::Refused { id, reason });
            return Ok(());
        }
        let rest = topic::own(&topic, &self.thing.name).unwrap_or_default();
        self.waiting_bytes += rest.len() + payload.len();
        self.waiting.push_back(Waiting::Request {
            rest: rest.to_owned(),
            payload,
            id,
        });
        Ok(())
    }

    fn subscribe(&mut self, request: &Subscribe) {
        let subscriptions = &mut self.session.subscriptions;
        let verdicts: Vec<_> = request
            .filters
            .iter()
            .map(|(filter, qos)| subscriptions.add(filter, &self.thing.name, *qos))
            .collect();
        let sent = self.version.suback(request.id, &verdicts, &mut self.output);
        log_unsent("SUBACK", sent);
    }
}
