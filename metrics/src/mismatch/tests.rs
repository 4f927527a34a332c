//! Findings over many requests.
