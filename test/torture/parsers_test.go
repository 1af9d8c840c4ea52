// SPDX-License-Identifier: MIT

package torture

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"swudelta/internal/apply"
	"swudelta/internal/bsdiff"
	"swudelta/internal/bzip2"
	"swudelta/internal/codec"
	"swudelta/internal/device"
	"swudelta/internal/device/stock"
	"swudelta/internal/device/stock30"
	"swudelta/internal/device/stocklib"
	"swudelta/internal/digest"
	"swudelta/internal/extfs"
	"swudelta/internal/fault"
	"swudelta/internal/layout"
	"swudelta/internal/manifest"
	"swudelta/internal/pamz"
	"swudelta/internal/release"
	"swudelta/internal/sign"
	"swudelta/internal/swdesc"
	"swudelta/internal/swu"
	"swudelta/internal/tooltest"
)

// ----------------------------------------------------------------- seeds ---

// files returns those that match a pattern from the root of the project on.
func files(pattern string) func(*testing.T) [][]byte {
	return func(t *testing.T) (list [][]byte) {
		paths, err := filepath.Glob(filepath.Join(tooltest.Root(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if b := readFile(t, path); len(b) > 0 && len(b) < 200<<10 {
				list = append(list, b)
			}
		}
		return list
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// images returns small file systems; they are compressed in the repository.
func images(t *testing.T) (list [][]byte) {
	paths, err := filepath.Glob(filepath.Join(tooltest.Root(), "internal/extfs/testdata/*.img.zst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		r, _, err := codec.NewReader(bytes.NewReader(readFile(t, path)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.LimitReader(r, 4<<20+1))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) <= 4<<20 {
			list = append(list, b)
		}
	}
	return list
}

// sample has text, runs and noise.
func sample() []byte {
	b := bytes.Repeat([]byte("It was the best of times, it was the worst of times. "), 60)
	return append(append(b, tooltest.Random(1, 2000)...), make([]byte, 3000)...)
}

func gzips(*testing.T) [][]byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(sample())
	w.Close()
	return [][]byte{b.Bytes()}
}

func zstds(t *testing.T) [][]byte {
	all := files("internal/extfs/testdata/*.img.zst")(t)
	return all[:min(len(all), 3)]
}

func bzip2s(t *testing.T) [][]byte {
	var b bytes.Buffer
	if err := bzip2.Encode(&b, sample(), 1); err != nil {
		t.Fatal(err)
	}
	return [][]byte{b.Bytes()}
}

func patches(t *testing.T) [][]byte {
	old := sample()
	var b bytes.Buffer
	_, err := bsdiff.Diff(old, tooltest.Edits(old)[:40000], bsdiff.Options{}).Encode(&b,
		func(dst io.Writer, src []byte) error { return bzip2.Encode(dst, src, 1) })
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{b.Bytes()}
}

func tables(*testing.T) [][]byte {
	return [][]byte{[]byte("source\tdevices\tdelta\nv1\t1000\t71018\nv2\t20\t-\n"), []byte("v1,1000,71018\n# none\n\nv2,20,5\n")}
}

// signer is who signs the text "text".
var signer = sync.OnceValues(func() (public *sign.Public, sigs [][]byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signer"}, NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	public, err = sign.ParsePublic(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	if err != nil {
		panic(err)
	}
	for _, scheme := range []sign.Scheme{sign.CMS, sign.RSA, sign.RSAPSS} {
		s, err := sign.NewSigner(scheme, key, public, time.Now())
		if err != nil {
			panic(err)
		}
		sig, err := s.Sign([]byte("text"))
		if err != nil {
			panic(err)
		}
		sigs = append(sigs, sig)
	}
	return public, sigs
})

func signatures(*testing.T) [][]byte {
	_, sigs := signer()
	return sigs
}

// --------------------------------------------------------------- parsers ---

// bounded takes what a hostile file makes, up to a limit.
type bounded struct{ left int64 }

func (w *bounded) Write(b []byte) (int, error) {
	if w.left -= int64(len(b)); w.left < 0 {
		return 0, errEnough
	}
	return len(b), nil
}

func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "torture-scratch-*")
	if err == nil {
		os.Remove(f.Name())
	}
	return f, err
}

// parsePAMZ does all that is done with deltas. Applied to no file that fits it, it
// comes to the source's digest, so those that want a source get one.
func parsePAMZ(b []byte) error {
	d, err := pamz.Decode(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	if _, err := d.Describe(apply.NewViewer()); err != nil {
		return err
	}
	for _, check := range []func(*pamz.Diff) (device.Cost, []stocklib.Violation, error){stock.Check, stock30.Check(stock30.Form21), stock30.Check(stock30.Form30)} {
		if _, _, err := check(d); err != nil {
			return err
		}
	}
	source := sample()
	if d.SourceLength > 0 && d.SourceLength < 1<<20 {
		source = bytes.Repeat(source, int(d.SourceLength)/len(source)+1)[:d.SourceLength]
		d.SourceSHA256 = digest.Sum(source)
	}
	err = apply.Apply(&bounded{1 << 20}, d, bytes.NewReader(source), int64(len(source)), apply.Options{
		Scratch: scratch, Memory: 32 << 20, Zlib: func() (*codec.Zlib, error) { return codec.OpenZlib("") },
		Zstd: func() (*codec.Zstd, error) { return codec.OpenZstd(codec.ZstdOptions{}) },
	})
	if errors.Is(err, apply.ErrMemory) || fault.IsData(err) {
		return nil // the source is not the delta's, so the target cannot be right
	}
	return err
}

func parsePatch(b []byte) error {
	h, err := bsdiff.Parse(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	old := sample()
	return bsdiff.Apply(&bounded{1 << 20}, bytes.NewReader(old), int64(len(old)), bytes.NewReader(b), int64(len(b)), h.NewSize)
}

// parseArchive unpacks, too, and looks for what came out of the folder.
func parseArchive(b []byte) error {
	a, err := swu.Index(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	if _, err := a.FormatList(0); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "torture-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	inside := filepath.Join(dir, "inside")
	if err := os.MkdirAll(filepath.Join(inside, "staging"), 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		return err
	}
	defer root.Close()
	u, err := swu.Unpack(bytes.NewReader(b), root, "staging", false)
	if err == nil {
		err = u.Commit()
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		return errors.New("a member lies outside of the folder")
	}
	return err
}

func parseDescription(b []byte) error {
	d, err := swdesc.Parse(b)
	if err != nil {
		return err
	}
	for _, e := range d.Entries() {
		if _, err := d.Rewrite(map[string]swdesc.Replacement{e.Name: {Size: 7, Compressed: "zstd"}}); err != nil && !fault.IsData(err) {
			return err
		}
	}
	_, err = d.Check(false, func(string, bool) (*swdesc.Member, error) { return nil, nil })
	return err
}

func parseImage(b []byte) error {
	l, err := extfs.Scan(bytes.NewReader(b), int64(len(b)), extfs.Options{})
	if err != nil {
		return err
	}
	return l.Check()
}

func parseStream(b []byte) error {
	if _, err := codec.Examine(bytes.NewReader(b)); err != nil {
		return err
	}
	r, _, err := codec.NewReader(bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(&bounded{64 << 20}, r)
	return err
}

func parseBzip2(b []byte) error {
	_, err := io.Copy(&bounded{64 << 20}, bzip2.NewReader(bytes.NewReader(b)))
	return err
}

// parseSignature fails where a signature is taken that is none of those that were made
// over the text: a mutation of one may be the same again.
func parseSignature(b []byte) error {
	public, _ := signer()
	if _, err := sign.Form(b); err != nil && !fault.IsData(err) {
		return err
	}
	var last error
	for _, scheme := range sign.Schemes {
		_, err := public.Verify(scheme, []byte("text"), b, time.Now())
		if err == nil {
			return nil
		}
		if _, err := public.Verify(scheme, []byte("another text"), b, time.Now()); err == nil {
			return errors.New("a signature fits another text")
		}
		last = err
	}
	return last
}

func parseManifest(b []byte) error {
	d, err := manifest.Read(bytes.NewReader(b))
	if err != nil {
		return err
	}
	d.Check()
	d.ID()
	d.Sources()
	d.Targets()
	return nil
}

func parseLayout(b []byte) error {
	l, err := layout.Read(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return l.Write(io.Discard)
}

func parseTable(b []byte) error {
	_, err := release.ReadTable(bytes.NewReader(b))
	return err
}
