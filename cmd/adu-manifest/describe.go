// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"swudelta/internal/manifest"
	"swudelta/internal/tool"
)

// describe gathers the description: flags and operand before --config.
func describe(c *tool.Context) (*manifest.Update, error) {
	u := new(manifest.Update)
	if path := c.String("config"); path != "" {
		in, err := c.Open(path)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		if u, err = manifest.ReadUpdate(in, filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("%s: %w", in.Name(), err)
		}
	}
	flags := map[string]*string{
		"provider": &u.Provider, "update-provider": &u.Provider, "name": &u.Name, "update-name": &u.Name,
		"version": &u.Version, "update-version": &u.Version, "up": &u.Provider, "un": &u.Name, "uv": &u.Version, "description": &u.Description,
		"installed-criteria": &u.InstalledCriteria, "script": &u.Script, "handler": &u.Handler,
	}
	for flag, field := range flags {
		if !c.IsSet(flag) {
			continue
		}
		if given := spellings(c, field, flags); len(given) > 1 {
			return nil, tool.Usagef("--%s and --%s are the same", given[0], given[1])
		}
		*field = c.String(flag)
	}
	if c.IsSet("is-deployable") {
		v, err := strconv.ParseBool(c.String("is-deployable"))
		if err != nil {
			return nil, tool.Usagef("--is-deployable: got %q, want true or false", c.String("is-deployable"))
		}
		u.IsDeployable = &v
	}
	if c.IsSet("compat") {
		u.Compatibility = nil
	}
	for _, s := range c.Strings("compat") {
		set, err := manifest.ParseCompatibility(s)
		if err != nil {
			return nil, tool.Usagef("--compat: %v", err)
		}
		u.Compatibility = append(u.Compatibility, set)
	}
	for _, s := range c.Strings("property") {
		p, err := manifest.ParseProperty(s)
		if err != nil {
			return nil, tool.Usagef("--property: %v", err)
		}
		u.HandlerProperties = u.HandlerProperties.With(p)
	}
	if c.IsSet("delta") {
		u.Deltas = c.Strings("delta")
	}
	if c.Bool("seed") {
		u.Seed = true
	}
	if len(c.Args()) > 0 {
		u.Target = c.Arg(0)
	}
	return u, nil
}

// spellings returns the flags that were given for a field, in alphabetical order.
func spellings(c *tool.Context, field *string, flags map[string]*string) (given []string) {
	for flag, f := range flags {
		if f == field && c.IsSet(flag) {
			given = append(given, flag)
		}
	}
	slices.Sort(given)
	return given
}

// created returns the time of creation.
func created(c *tool.Context) (time.Time, error) {
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > 253402300799 { // the year 9999
			return time.Time{}, tool.Usagef("SOURCE_DATE_EPOCH is %q, want seconds since 1970", s)
		}
		return time.Unix(n, 0), nil
	}
	if s := c.String("created"); s != "" {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			return t, tool.Usagef("--created: got %q, want a time such as 2025-01-15T10:00:00Z", s)
		}
		return t, nil
	}
	return time.Now(), nil
}
