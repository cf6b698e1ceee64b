//! App and boot loader images of ESP-IDF.
