package metadata_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// The tables of docs/spec.md name the limits and types that the code has.
func TestSpecificationTables(t *testing.T) {
	spec, err := os.ReadFile("../docs/spec.md")
	require.NoError(t, err)
	for name, value := range map[string]int{
		"MaxRoot": metadata.MaxRoot, "MaxTimestamp": metadata.MaxTimestamp, "MaxSnapshot": metadata.MaxSnapshot, "MaxTargets": metadata.MaxTargets,
		"MaxManifest": metadata.MaxManifest, "MaxDepth": metadata.MaxDepth, "MaxValues": metadata.MaxValues, "MaxSignatures": metadata.MaxSignatures,
		"MaxKeys": metadata.MaxKeys, "MaxRootSteps": metadata.MaxRootSteps, "MaxVisits": metadata.MaxVisits, "MaxPath": metadata.MaxPath,
		"MaxRoleName": metadata.MaxRoleName, "MaxPathDepth": metadata.MaxPathDepth, "MaxInlineFile": metadata.MaxInlineFile,
		"MaxInlineTotal": metadata.MaxInlineTotal, "MaxPrefetch": metadata.MaxPrefetch, "MaxPrefetches": metadata.MaxPrefetches,
		"MaxAncestors": metadata.MaxAncestors, "MaxAttachments": metadata.MaxAttachments,
	} {
		assert.Contains(t, string(spec), fmt.Sprintf("| `%s` | %d |", name, value))
	}
	for name, value := range map[string]string{
		"MediaTypeFile": metadata.MediaTypeFile, "MediaTypeRootPack": metadata.MediaTypeRootPack, "ArtifactTypeState": metadata.ArtifactTypeState,
		"ArtifactTypeDraft": metadata.ArtifactTypeDraft, "AnnotationFilename": metadata.AnnotationFilename,
		"AnnotationPatterns": metadata.AnnotationPatterns, "TagLatest": metadata.TagLatest, "TagPrefixState": metadata.TagPrefixState,
		"TagPrefixDraft": metadata.TagPrefixDraft, "TagPrefixTrust": metadata.TagPrefixTrust, "ArtifactTypeTrust": metadata.ArtifactTypeTrust,
		"AnnotationPublisher": metadata.AnnotationPublisher, "AnnotationVersion": metadata.AnnotationVersion,
		"AnnotationRepository": metadata.AnnotationRepository,
	} {
		assert.Contains(t, string(spec), fmt.Sprintf("| `%s` | `%s` |", name, value))
	}
}
