//! The ESP-IDF partition table against the golden vectors, and against its own rules.
#![cfg(feature = "alloc")]

mod esp_partition_table {
    mod binary;
    mod csv;
    mod csv_golden;
    mod csv_odd;
    mod csv_refused;
    mod golden;
    mod verification;
}
