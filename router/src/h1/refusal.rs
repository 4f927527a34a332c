//! Why a message is refused: every reason has a name, a status and a stable code.
//!
//! A refusal is a value, so that the pure parsers can be tested and fuzzed for the exact reason, and so that the counter,
//! the log line and the `Crossfade-Error` field cannot disagree.

use thiserror::Error;

/// Why a request head or body cannot be forwarded. The text is for the caller who wrote the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    #[error("The request line is not METHOD SP TARGET SP VERSION.")]
    RequestLine,
    #[error("The HTTP version is not supported; use HTTP/1.1.")]
    Version,
    #[error("A line ends with a bare line feed or carriage return; lines end with CRLF.")]
    LineEnd,
    #[error("A field name is not a token followed by a colon.")]
    FieldName,
    #[error("A field name imitates Host, Content-Length or Transfer-Encoding; rename the field or leave it out.")]
    FieldDisguised,
    #[error("A field value holds a control character.")]
    FieldValue,
    #[error("The request has no Host field.")]
    HostMissing,
    #[error("The request has more than one Host field.")]
    HostDuplicate,
    #[error("The Host field is not a host with an optional port.")]
    HostInvalid,
    #[error("The Host field and the authority of the target differ.")]
    HostMismatch,
    #[error("The target is not a path, a URL or, for OPTIONS, an asterisk.")]
    Target,
    #[error("The target holds a character that must be percent-encoded.")]
    TargetCharacter,
    #[error("The path can be read in two ways that lead to different routes.")]
    PathAmbiguous,
    #[error("The target is too long.")]
    TargetTooLong,
    #[error("The header section is too large.")]
    HeadTooLarge,
    #[error("The request has both Content-Length and Transfer-Encoding.")]
    LengthAndEncoding,
    #[error("The Content-Length is not one decimal number.")]
    LengthInvalid,
    #[error("The Content-Length fields differ.")]
    LengthDiffers,
    #[error("The Transfer-Encoding is not chunked, once.")]
    EncodingInvalid,
    #[error("The transfer coding is not implemented; use chunked.")]
    EncodingUnknown,
    #[error("HTTP/1.0 has no Transfer-Encoding.")]
    EncodingInHttp10,
    #[error("Chunked is no Content-Encoding; name it in Transfer-Encoding, or leave it out.")]
    EncodingMisplaced,
    #[error("Connection names Host, Content-Length or Transfer-Encoding, or too many fields; leave them out.")]
    ConnectionOption,
    #[error("A HEAD request has a body; send none.")]
    BodyUnexpected,
    #[error("The method is not allowed through this proxy.")]
    Method,
    #[error("The expectation cannot be met; only 100-continue is known.")]
    Expectation,
    #[error("A chunk of the body is malformed.")]
    Chunk,
    #[error("A trailer field is malformed.")]
    Trailer,
    #[error("The request body is larger than this route accepts.")]
    BodyTooLarge,
}

impl Refusal {
    pub const ALL: [Self; 29] = [
        Self::RequestLine,
        Self::Version,
        Self::LineEnd,
        Self::FieldName,
        Self::FieldDisguised,
        Self::FieldValue,
        Self::HostMissing,
        Self::HostDuplicate,
        Self::HostInvalid,
        Self::HostMismatch,
        Self::Target,
        Self::TargetCharacter,
        Self::PathAmbiguous,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::LengthAndEncoding,
        Self::LengthInvalid,
        Self::LengthDiffers,
        Self::EncodingInvalid,
        Self::EncodingUnknown,
        Self::EncodingInHttp10,
        Self::EncodingMisplaced,
        Self::ConnectionOption,
        Self::BodyUnexpected,
        Self::Method,
        Self::Expectation,
        Self::Chunk,
        Self::Trailer,
        Self::BodyTooLarge,
    ];

    pub const fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::EncodingUnknown => 501,
            Self::Method => 405,
            Self::Expectation => 417,
            Self::BodyTooLarge => 413,
            Self::RequestLine
            | Self::LineEnd
            | Self::FieldName
            | Self::FieldDisguised
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostDuplicate
            | Self::HostInvalid
            | Self::HostMismatch
            | Self::Target
            | Self::TargetCharacter
            | Self::PathAmbiguous
            | Self::LengthAndEncoding
            | Self::LengthInvalid
            | Self::LengthDiffers
            | Self::EncodingInvalid
            | Self::EncodingInHttp10
            | Self::EncodingMisplaced
            | Self::ConnectionOption
            | Self::BodyUnexpected
            | Self::Chunk
            | Self::Trailer => 400,
        }
    }

    /// Stable: scripts and dashboards match on it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::RequestLine => "bad_request_line",
            Self::Version => "bad_version",
            Self::LineEnd => "bad_line_end",
            Self::FieldName => "bad_field_name",
            Self::FieldDisguised => "disguised_field",
            Self::FieldValue => "bad_field_value",
            Self::HostMissing => "host_missing",
            Self::HostDuplicate => "host_duplicate",
            Self::HostInvalid => "host_invalid",
            Self::HostMismatch => "host_mismatch",
            Self::Target => "bad_target",
            Self::TargetCharacter => "bad_target_character",
            Self::PathAmbiguous => "path_ambiguous",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::LengthInvalid => "length_invalid",
            Self::LengthDiffers => "length_differs",
            Self::EncodingInvalid => "encoding_invalid",
            Self::EncodingUnknown => "encoding_unknown",
            Self::EncodingInHttp10 => "encoding_in_http10",
            Self::EncodingMisplaced => "encoding_misplaced",
            Self::ConnectionOption => "bad_connection_option",
            Self::BodyUnexpected => "unexpected_body",
            Self::Method => "method_not_allowed",
            Self::Expectation => "expectation_failed",
            Self::Chunk => "bad_chunk",
            Self::Trailer => "bad_trailer",
            Self::BodyTooLarge => "body_too_large",
        }
    }
}

/// Why an answer of an upstream cannot be relayed. The text is for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum BadAnswer {
    #[error("the status line or a field is malformed")]
    Head,
    #[error("the head is larger than the limit")]
    TooLarge,
    #[error("the Content-Length is malformed or contradicts itself")]
    Length,
    #[error("the Transfer-Encoding is not chunked, once")]
    Encoding,
    #[error("it switches to a protocol that was not asked for")]
    UnsolicitedSwitch,
    #[error("a chunk of the body is malformed")]
    Chunk,
}
