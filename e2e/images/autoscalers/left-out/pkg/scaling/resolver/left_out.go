package resolver

import (
	"context"
	"errors"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/kedacore/keda/v2/pkg/scalers/authentication"
)

var errLeftOut = errors.New("this build has no stores of secrets but Kubernetes' own")

type leftOut struct{}

func (leftOut) Stop() {}

type vault struct{ leftOut }

func (vault) Initialize(logr.Logger) error { return errLeftOut }

func (vault) ResolveSecrets([]kedav1alpha1.VaultSecret) ([]kedav1alpha1.VaultSecret, error) {
	return nil, errLeftOut
}

func NewHashicorpVaultHandler(*kedav1alpha1.HashiCorpVault, *authentication.AuthClientSet, string) vault {
	return vault{}
}

type cloud struct{ leftOut }

func (cloud) Initialize(context.Context, client.Client, logr.Logger, string, corev1listers.SecretLister) error {
	return errLeftOut
}

func (cloud) Read(context.Context, string, string) (string, error) { return "", errLeftOut }

func NewAzureKeyVaultHandler(*kedav1alpha1.AzureKeyVault) cloud { return cloud{} }

func NewGCPSecretManagerHandler(*kedav1alpha1.GCPSecretManager) cloud { return cloud{} }

type aws struct{ leftOut }

func (aws) Initialize(context.Context, client.Client, logr.Logger, string, corev1listers.SecretLister, *corev1.PodSpec) error {
	return errLeftOut
}

func (aws) Read(context.Context, logr.Logger, string, string, string, string) (string, error) {
	return "", errLeftOut
}

func NewAwsSecretManagerHandler(*kedav1alpha1.AwsSecretManager) aws { return aws{} }

func vaultAddressesEqual(one, other string) bool { return one == other }

// DefaultVaultKubernetesAuthTokenFile is what a flag of the operator has by default.
const DefaultVaultKubernetesAuthTokenFile = ""
