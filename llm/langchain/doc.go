// Package langchain makes llm.Models and llm.Embedders of langchaingo's providers, and repairs what those get wrong.
//
// langchaingo v0.1.14 maps messages and tools to each provider's wire form and reads its replies; it can't be trusted with a
// stream, an error or half of the request's options. So it is always called without streaming, through an HTTP client that
// belongs to one call. That client
//
//   - completes the body: what langchaingo can't say is spliced in, what it says needlessly is taken out;
//   - asks for a stream, reads it itself, and hands langchaingo one whole reply;
//   - classifies every failure as an *llm.Error, with the status and the Retry-After that langchaingo drops.
//
// A model encodes a request once. Encode captures the body that langchaingo builds, and Stream sends those very bytes.
package langchain
