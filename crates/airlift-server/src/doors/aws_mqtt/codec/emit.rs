//! Packets that the server sends.

use bytes::BytesMut;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, MaximumQos, Property, Qos as LibraryQos,
    ReasonString, ReceiveMaximum, RetainAvailable, ServerKeepAlive, SessionExpiryInterval,
    SharedSubscriptionAvailable, SubscriptionIdentifierAvailable, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
    SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

use super::{Qos, Reason, Version};

/// What a client is told when it is welcome.
#[derive(Debug)]
pub(in super::super) struct Greeting<'a> {
    /// The server remembers the client's session.
    pub(in super::super) session_present: bool,
    /// Seconds for which the session will be kept, if that is not what the client asked for.
    pub(in super::super) session_expiry: Option<u32>,
    /// Longest silence in seconds, if that is not what the client promised.
    pub(in super::super) keep_alive: Option<u16>,
    /// Most unacknowledged QoS 1 messages that the server takes.
    pub(in super::super) receive_maximum: u16,
    /// Largest packet that the server takes.
    pub(in super::super) maximum_packet: u32,
    /// The name that a client without one is known by.
    pub(in super::super) assigned_client_id: Option<&'a str>,
}

/// A message to a client.
#[derive(Debug)]
pub(in super::super) struct Delivery<'a> {
    pub(in super::super) topic: &'a str,
    pub(in super::super) payload: &'a [u8],
    /// With QoS 1, what the client's acknowledgement will refer to.
    pub(in super::super) id: Option<u16>,
    /// It was sent before, on an earlier connection.
    pub(in super::super) is_repeated: bool,
}

/// Packets are put at the end of `out`, whole or not at all.
impl Version {
    pub(in super::super) fn welcome(
        self,
        greeting: &Greeting<'_>,
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        match self {
            Self::V3 => {
                let packet = v3_1_1::Connack::builder()
                    .session_present(greeting.session_present)
                    .return_code(ConnectReturnCode::Accepted)
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
            Self::V5 => {
                let mut properties: Vec<Property> = vec![
                    ReceiveMaximum::new(greeting.receive_maximum)?.into(),
                    MaximumPacketSize::new(greeting.maximum_packet)?.into(),
                    MaximumQos::new(1)?.into(),
                    RetainAvailable::new(0)?.into(),
                    SubscriptionIdentifierAvailable::new(0)?.into(),
                    SharedSubscriptionAvailable::new(0)?.into(),
                ];
                if let Some(seconds) = greeting.session_expiry {
                    properties.push(SessionExpiryInterval::new(seconds)?.into());
                }
                if let Some(seconds) = greeting.keep_alive {
                    properties.push(ServerKeepAlive::new(seconds)?.into());
                }
                if let Some(name) = greeting.assigned_client_id {
                    properties.push(AssignedClientIdentifier::new(name)?.into());
                }
                let packet = v5_0::Connack::builder()
                    .session_present(greeting.session_present)
                    .reason_code(ConnectReasonCode::Success)
                    .props(properties)
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
        }
        Ok(())
    }

    /// A CONNACK that says no. `why` is for people, and must not tell a stranger anything.
    pub(in super::super) fn refuse(
        self,
        reason: Reason,
        why: &str,
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        match self {
            Self::V3 => {
                let code = match reason {
                    Reason::UnsupportedProtocolVersion => {
                        ConnectReturnCode::UnacceptableProtocolVersion
                    }
                    Reason::ClientIdentifierNotValid => ConnectReturnCode::IdentifierRejected,
                    Reason::BadUserNameOrPassword => ConnectReturnCode::BadUserNameOrPassword,
                    Reason::ServerUnavailable | Reason::ServerShuttingDown => {
                        ConnectReturnCode::ServerUnavailable
                    }
                    _ => ConnectReturnCode::NotAuthorized,
                };
                let packet = v3_1_1::Connack::builder()
                    .session_present(false)
                    .return_code(code)
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
            Self::V5 => {
                let code = ConnectReasonCode::try_from(reason as u8)
                    .unwrap_or(ConnectReasonCode::UnspecifiedError);
                let packet = v5_0::Connack::builder()
                    .session_present(false)
                    .reason_code(code)
                    .props(vec![ReasonString::new(why)?.into()])
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
        }
        Ok(())
    }

    pub(in super::super) fn publish(
        self,
        message: &Delivery<'_>,
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        let qos = match message.id {
            None => LibraryQos::AtMostOnce,
            Some(_) => LibraryQos::AtLeastOnce,
        };
        match self {
            Self::V3 => {
                let mut packet = v3_1_1::Publish::builder()
                    .topic_name(message.topic)?
                    .qos(qos)
                    .dup(message.is_repeated);
                if let Some(id) = message.id {
                    packet = packet.packet_id(id);
                }
                let packet = packet.payload(message.payload).build()?;
                packet
                    .to_buffers()
                    .iter()
                    .for_each(|part| out.extend_from_slice(part));
            }
            Self::V5 => {
                let mut packet = v5_0::Publish::builder()
                    .topic_name(message.topic)?
                    .qos(qos)
                    .dup(message.is_repeated);
                if let Some(id) = message.id {
                    packet = packet.packet_id(id);
                }
                let packet = packet.payload(message.payload).build()?;
                packet
                    .to_buffers()
                    .iter()
                    .for_each(|part| out.extend_from_slice(part));
            }
        }
        Ok(())
    }

    /// Acknowledges a message; an error is only sent by MQTT 5, as 3.1.1 has no words for it.
    pub(in super::super) fn puback(
        self,
        id: u16,
        refused: Option<Reason>,
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        match self {
            Self::V3 => {
                let packet = v3_1_1::Puback::builder().packet_id(id).build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
            Self::V5 => {
                let mut packet = v5_0::Puback::builder().packet_id(id);
                if let Some(reason) = refused {
                    let code = PubackReasonCode::try_from(reason as u8)
                        .unwrap_or(PubackReasonCode::UnspecifiedError);
                    packet = packet.reason_code(code);
                }
                out.extend_from_slice(&packet.build()?.to_continuous_buffer());
            }
        }
        Ok(())
    }

    /// Answers a SUBSCRIBE, filter by filter.
    pub(in super::super) fn suback(
        self,
        id: u16,
        verdicts: &[Result<Qos, Reason>],
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        match self {
            Self::V3 => {
                let codes = verdicts.iter().map(|verdict| match verdict {
                    Ok(Qos::AtMostOnce) => SubackReturnCode::SuccessMaximumQos0,
                    Ok(Qos::AtLeastOnce) => SubackReturnCode::SuccessMaximumQos1,
                    Err(_) => SubackReturnCode::Failure,
                });
                let packet = v3_1_1::Suback::builder()
                    .packet_id(id)
                    .return_codes(codes.collect())
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
            Self::V5 => {
                let codes = verdicts.iter().map(|verdict| match verdict {
                    Ok(Qos::AtMostOnce) => SubackReasonCode::GrantedQos0,
                    Ok(Qos::AtLeastOnce) => SubackReasonCode::GrantedQos1,
                    Err(reason) => SubackReasonCode::try_from(*reason as u8)
                        .unwrap_or(SubackReasonCode::UnspecifiedError),
                });
                let packet = v5_0::Suback::builder()
                    .packet_id(id)
                    .reason_codes(codes.collect())
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
        }
        Ok(())
    }

    /// Answers an UNSUBSCRIBE: for each filter, whether there was such a subscription.
    pub(in super::super) fn unsuback(
        self,
        id: u16,
        existed: &[bool],
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        match self {
            Self::V3 => {
                let packet = v3_1_1::Unsuback::builder().packet_id(id).build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
            Self::V5 => {
                let codes = existed.iter().map(|existed| match existed {
                    true => UnsubackReasonCode::Success,
                    false => UnsubackReasonCode::NoSubscriptionExisted,
                });
                let packet = v5_0::Unsuback::builder()
                    .packet_id(id)
                    .reason_codes(codes.collect())
                    .build()?;
                out.extend_from_slice(&packet.to_continuous_buffer());
            }
        }
        Ok(())
    }

    pub(in super::super) fn pingresp(self, out: &mut BytesMut) {
        match self {
            Self::V3 => {
                out.extend_from_slice(&v3_1_1::Pingresp::new().to_continuous_buffer());
            }
            Self::V5 => out.extend_from_slice(&v5_0::Pingresp::new().to_continuous_buffer()),
        }
    }

    /// Says why the connection is closed now; 3.1.1 has no such packet for servers.
    pub(in super::super) fn disconnect(
        self,
        reason: Reason,
        out: &mut BytesMut,
    ) -> Result<(), MqttError> {
        if self == Self::V5 {
            let code = DisconnectReasonCode::try_from(reason as u8)
                .unwrap_or(DisconnectReasonCode::UnspecifiedError);
            let packet = v5_0::Disconnect::builder().reason_code(code).build()?;
            out.extend_from_slice(&packet.to_continuous_buffer());
        }
        Ok(())
    }
}
