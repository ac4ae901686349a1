"""What FHIR R4 (4.0.1) calls our devices, metrics, values and tickets. Names no person. Pure."""
