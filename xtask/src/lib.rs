//! developer tool
