package metadata

// Limits on what is read from anybody. They bound memory and time before a
// byte is believed (TUF 5.3.3, 5.4.1, 5.5.1, 5.6.1: download up to a number
// of bytes that the client fixes). Sizes are in bytes.
const (
	MaxRoot      = 512 << 10 // one root file
	MaxTimestamp = 64 << 10  // one timestamp file
	MaxSnapshot  = 16 << 20  // one snapshot file
	MaxTargets   = 64 << 20  // one targets or delegated file
	MaxManifest  = 4 << 20   // one OCI manifest (distribution-spec: what registries must accept)

	MaxDepth      = 32      // nesting of JSON
	MaxValues     = 4 << 20 // JSON values in one file: small values take more memory than bytes
	MaxSignatures = 256     // signatures in one file
	MaxKeys       = 1024    // keys that root or a delegation lists
	MaxRootSteps  = 1024    // roots that one update may walk through
	MaxVisits     = 256     // role files that one search may open
	MaxPath       = 1024    // bytes of a target path
	MaxRoleName   = 256     // bytes of a role's name
	MaxPathDepth  = 8       // slash separated parts of an artifact's name

	MaxInlineFile  = 32 << 10  // one file inlined in a descriptor's data
	MaxInlineTotal = 128 << 10 // all files inlined in one manifest
	MaxPrefetch    = 8 << 20   // role files fetched on an unsigned hint, in all
	MaxPrefetches  = 16        // role files fetched on an unsigned hint
	MaxAncestors   = 64        // publications that a snapshot names as its ancestors
	MaxAttachments = 8         // trust attachments of one artifact that a verifier reads for one publisher
)
