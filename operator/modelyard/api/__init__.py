"""What a user writes and reads: the types of InferenceService, its conditions, and the CRD generated from them."""
