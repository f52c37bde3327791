package metadata

// The names by which Carnet's objects are known in a registry.
const (
	// MediaTypeFile is the media type of a layer that holds one TUF file.
	MediaTypeFile = "application/vnd.tuf.metadata+json"
	// MediaTypeRootPack is the media type of the layer that holds the root
	// files too old to have a layer each, as a JSON array of files.
	MediaTypeRootPack = "application/vnd.carnet.root-pack.v1+json"
	// ArtifactTypeState marks a manifest that holds one publication.
	ArtifactTypeState = "application/vnd.carnet.state.v1"
	// ArtifactTypeDraft marks a publication that is not signed by timestamp.
	ArtifactTypeDraft = "application/vnd.carnet.draft.v1"
	// ArtifactTypeProposal marks a change that waits for signatures.
	ArtifactTypeProposal = "application/vnd.carnet.proposal.v1"
	// ArtifactTypeTrust marks a trust attachment, a referrer of an artifact.
	ArtifactTypeTrust = "application/vnd.carnet.trust.v1"

	// AnnotationFilename names the TUF file that a layer holds, as in
	// "7.snapshot.json".
	AnnotationFilename = "tuf.io/filename"
	// AnnotationPatterns carries, as JSON array of strings, the path patterns
	// delegated to the role in a layer: an unsigned hint for prefetching.
	AnnotationPatterns = "vnd.carnet.patterns"
	// AnnotationPublisher names, in a trust attachment and in an archive's
	// index.json, the publisher: the first 12 hexadecimal digits of the SHA-256
	// of its id. An unsigned hint.
	AnnotationPublisher = "vnd.carnet.publisher"
	// AnnotationVersion tells, in a trust attachment, the versions of its newest
	// root and of its snapshot, as a state's tag does. An unsigned hint.
	AnnotationVersion = "vnd.carnet.version"
	// AnnotationRepository names, in an archive's index.json, the repository that
	// a manifest was saved from.
	AnnotationRepository = "vnd.carnet.repository"
)

// The tags of a trust repository.
const (
	TagLatest         = "latest"
	TagPrefixState    = "state."
	TagPrefixDraft    = "draft."
	TagPrefixProposal = "proposal."
	// TagPrefixTrust begins the tags of trust attachments, which stand beside
	// the artifacts that they are attached to.
	TagPrefixTrust = "trust."
)
