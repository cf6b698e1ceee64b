//! ESP-IDF otadata.
