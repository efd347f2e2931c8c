//! MySQL client.
