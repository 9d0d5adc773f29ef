//! Replays JSON fixtures per endpoint variant, as an HTTP transport that opens no socket.
