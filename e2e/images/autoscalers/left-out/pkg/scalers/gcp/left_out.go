// Package gcp stands for KEDA's own, which this build leaves out.
package gcp

import (
	"errors"
	"net/http"

	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
)

// GcpScopeMonitoringRead is never used.
const GcpScopeMonitoringRead = ""

// ErrGoogleApplicationCrendentialsNotFound is what KEDA goes on after: there is no Google Cloud to authenticate with.
var ErrGoogleApplicationCrendentialsNotFound = errors.New("this build has no Google Cloud")

// GetGCPOAuth2HTTPTransport finds no credentials.
func GetGCPOAuth2HTTPTransport(*scalersconfig.ScalerConfig, http.RoundTripper, ...string) (http.RoundTripper, error) {
	return nil, ErrGoogleApplicationCrendentialsNotFound
}
