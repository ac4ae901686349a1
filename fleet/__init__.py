"""The pure vocabulary: devices, metrics, faults and the words for them. No I/O, no clock."""
