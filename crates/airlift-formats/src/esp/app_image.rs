//! ESP-IDF app_image.
