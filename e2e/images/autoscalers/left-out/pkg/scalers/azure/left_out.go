// Package azure stands for KEDA's own, which this build leaves out.
package azure

import (
	"net/http"

	"github.com/go-logr/logr"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
)

// Names of parameters that no trigger of this build reads.
const (
	ServicePrincipalAuthKey                      = "leftOutAuth"
	ServicePrincipalTenantIDKey                  = "leftOutTenant"
	ServicePrincipalClientIDKey                  = "leftOutClient"
	ServicePrincipalCloudKey                     = "leftOutCloud"
	ServicePrincipalActiveDirectoryEndpointKey   = "leftOutEndpoint"
	ServicePrincipalClientSecretKey              = "leftOutSecret"
	ServicePrincipalClientCertificateKey         = "leftOutCertificate"
	ServicePrincipalClientCertificatePasswordKey = "leftOutPassword"
)

// TryAndGetAzureManagedPrometheusHTTPRoundTripper finds no Azure to authenticate with.
func TryAndGetAzureManagedPrometheusHTTPRoundTripper(logr.Logger, v1alpha1.AuthPodIdentity, map[string]string) (http.RoundTripper, error) {
	return nil, nil
}
