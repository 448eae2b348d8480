//! The message translator: bytes in, bytes or defects out.
