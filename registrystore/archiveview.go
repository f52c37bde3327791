package registrystore

// View opens repositories of archives under the names that they will have
// where they are loaded, and those of elsewhere that it was told of. Whatever
// else is opened through it cannot be read: no registry is asked.
func View(cache *Cache) *Registries {
	return &Registries{cache: cache, viewed: map[string]backend{}}
}

// Show lets the view r have, as at, the repository that is called repository
// in the archive. What the file leaves out is read, by digest, from at itself
// by way of rest, unless that is nil.
func (r *Registries) Show(at Repository, a *Archive, repository string, rest *Registries) error {
	var left backend
	if rest != nil {
		var err error
		if left, err = rest.backend(at); err != nil {
			return err
		}
	}
	r.viewed[at.Absolute()] = newArchiveBackend(a, repository, left)
	return nil
}

// ShowAsIs lets the view r have the repository at as it is, by way of rest.
func (r *Registries) ShowAsIs(at Repository, rest *Registries) error {
	b, err := rest.backend(at)
	if err == nil {
		r.viewed[at.Absolute()] = b
	}
	return err
}

// Shows reports whether the view has the repository.
func (r *Registries) Shows(at Repository) bool { return r.viewed[at.Absolute()] != nil }

// view returns what a view has, or what cannot be read.
func (r *Registries) view(repo Repository) backend {
	if b := r.viewed[repo.Absolute()]; b != nil {
		return b
	}
	return &offlineBackend{name: repo.String()}
}

// called returns what a repository is called in errors: one of an archive by
// the file.
func called(b backend, repo Repository) string {
	if archived, ok := b.(*archiveBackend); ok {
		return archived.file.name
	}
	return repo.String()
}
